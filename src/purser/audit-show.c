/* purser audit show. See audit-show.h. */
#include "purser/audit-show.h"

#include "audit/line.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define WIDEST_RETRIEVER 24

int audit_show_since(const char *text, int64_t *ret_since)
{
    char whole[48];
    uint64_t ago;
    if (text_parse_duration(slice_of(text), &ago) == 0) {
        *ret_since = clock_wall() - (int64_t)ago;
        return 0;
    }
    snprintf(whole, sizeof(whole), "%.30s%s", text, strlen(text) == 10 ? "T00:00:00Z" : "");
    return clock_parse(slice_of(whole), ret_since);
}

static bool is(Slice value, const char *wanted)
{
    return !wanted || slice_is(value, wanted);
}

static bool is_wanted(const AuditShow *show, const AuditLine *line)
{
    int64_t time = 0;
    bool refused = slice_is(line->decision, "refused") || slice_is(line->decision, "failed") ||
                   slice_is(line->decision, "would-refuse");
    bool ended = slice_is(line->event, "answer.end"), begun = slice_is(line->event, "request.sent");
    if (!is(line->run, show->run) || !is(line->retriever, show->retriever) || !is(line->source, show->source))
        return false;
    if (show->refused && !refused && !(ended && !line->whole))
        return false;
    if (!show->all && (begun || (ended && line->whole)))
        return false;
    return show->since == 0 || (clock_parse(line->time, &time) == 0 && time >= show->since);
}

/* A column, and a space. Nobody has verified the file: no text of it goes to a terminal as it stands. */
static void print_column(int width, int widest, Slice text)
{
    char room[256];
    audit_line_text(text, room, sizeof(room));
    printf("%-*.*s ", width, widest, room);
}

/* "00:11:39 " under its day, or the whole time: to the second in both. */
static void print_time(AuditShow *show, Slice time)
{
    int64_t parsed;
    if (clock_parse(time, &parsed)) {
        print_column(20, 20, time);
        putchar(' ');
        return;
    }
    if (!show->terminal) {
        printf("%.19sZ  ", time.ptr);
        return;
    }
    if (strncmp(show->day, time.ptr, 10) != 0) {
        snprintf(show->day, sizeof(show->day), "%.10s", time.ptr);
        printf("%s\n", show->day);
    }
    printf("%.8s  ", time.ptr + 11);
}

static void print_text(const char *before, Slice text)
{
    char room[4096];
    if (text.len)
        printf("%s%s", before, audit_line_text(text, room, sizeof(room)));
}

static void print_retriever(AuditShow *show, Slice retriever)
{
    int len = (int)retriever.len;
    if (len > show->retriever_width && len <= WIDEST_RETRIEVER)
        show->retriever_width = len;
    print_column(show->retriever_width, WIDEST_RETRIEVER, retriever);
    putchar(' ');
}

static void print_measured(const AuditLine *line)
{
    char size[24];
    if (line->ms.len)
        printf("  %s%s in %.*s ms", text_human_size(size, line->received), line->whole ? "" : " so far",
               (int)line->ms.len, line->ms.ptr);
}

/* What was asked for, by whom it was allowed or why it was not. */
static void print_call(const AuditLine *line)
{
    if (line->status)
        printf("%3llu  ", (unsigned long long)line->status);
    else
        printf("  -  ");
    print_column(6, 32, line->method);
    print_text("", line->host);
    print_text("", line->path);
    print_text("  ", line->operation);
    if (line->code.len) {
        print_text("  ", line->code);
        print_text(": ", line->message);
    } else {
        print_measured(line);
        print_text("  ", line->rule);
    }
}

static void print_other(const AuditLine *line)
{
    print_text("", line->source);
    if (line->source.len == 0)
        print_text("", line->run);
    if (line->of)
        printf(" of record %llu", (unsigned long long)line->of);
    if (line->count)
        printf(" %llu", (unsigned long long)line->count);
    print_measured(line);
    print_text("  ", line->code);
    print_text(": ", line->message);
}

static void print_line(AuditShow *show, const AuditLine *line)
{
    bool call = line->method.len > 0;
    bool decided = call && line->decision.len && !slice_is(line->event, "request.sent");
    Slice what = decided ? line->decision : line->event;
    print_time(show, line->time);
    print_retriever(show, line->retriever);
    print_column(13, 64, what);
    (call ? print_call : print_other)(line);
    putchar('\n');
}

static bool show_line(void *context, Slice text)
{
    AuditShow *show = context;
    AuditLine line;
    if (audit_line_parse(text, &line) || !is_wanted(show, &line))
        return true;
    if (show->json)
        printf("%.*s\n", (int)text.len, text.ptr);
    else
        print_line(show, &line);
    show->failed = ferror(stdout) != 0;
    return !show->failed;
}

int audit_show_file(AuditShow *show, int fd)
{
    int r = audit_lines_each(fd, show_line, NULL, show);
    return r ? r : show->failed ? -EIO : 0;
}
