/* Many pods' audits. See export.h. */
#include "audit/export.h"

#include "audit/line.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BEGIN     "{\"n\":"
#define NO_POD    "?"
#define READ_ROOM (256u << 10)

typedef struct Line {
    uint64_t number;
    char *text;
    size_t len;
} Line;

typedef struct Head {
    AuditSeal seal;
    char *run;
} Head;

typedef struct Chain {
    char name[AUDIT_CHAIN];
    char pod[256]; /* for people: "POD (chain NAME)" */
    Line *line;
    size_t n_line;
    Head *head;
    size_t n_head;
} Chain;

struct AuditExport {
    AuditExportSpec spec;
    Chain **chain; /* by name */
    size_t n_chain;
    uint64_t bytes;
    int64_t first, last; /* of all records */
    AuditExported result;
};

static void find(AuditExport *lines, AuditFindingKind kind, const char *where, const char *sentence)
{
    kind == AUDIT_PROBLEM ? lines->result.all.problems++ : lines->result.all.notes++;
    lines->spec.say(lines->spec.context, &(AuditFinding){kind, where, 0, sentence});
}

AuditExport *audit_export_new(const AuditExportSpec *spec)
{
    AuditExport *lines = MEM_NEW(AuditExport);
    *lines = (AuditExport){.spec = *spec};
    return lines;
}

static int compare_name(const char *a, Slice b)
{
    size_t len = strlen(a);
    int order = memcmp(a, b.ptr, len < b.len ? len : b.len); /* not secret */
    return order ? order : (len > b.len) - (len < b.len);
}

/* The place of a name, or where it would be. */
static size_t place_of(const AuditExport *lines, Slice name)
{
    size_t low = 0, high = lines->n_chain;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_name(lines->chain[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Chain *chain_of(AuditExport *lines, Slice name)
{
    size_t at = place_of(lines, name);
    if (at < lines->n_chain && slice_is(name, lines->chain[at]->name))
        return lines->chain[at];
    Chain *chain = MEM_NEW(Chain);
    snprintf(chain->name, sizeof(chain->name), "%.*s", (int)name.len, name.ptr);
    audit_line_text(slice_of(chain->name), chain->pod, sizeof(chain->pod));
    MEM_PUSH(lines->chain, lines->n_chain, chain);
    memmove(&lines->chain[at + 1], &lines->chain[at], (lines->n_chain - 1 - at) * sizeof(Chain *));
    lines->chain[at] = chain;
    return chain;
}

void audit_export_expect(AuditExport *lines, const char *chain, const AuditSeal *seal, const char *run)
{
    Chain *of = chain_of(lines, slice_of(chain));
    MEM_PUSH(of->head, of->n_head, (Head){*seal, mem_strdup(run)});
}

/* --- reading --- */

static void note_time(AuditExport *lines, Slice time)
{
    int64_t at;
    if (clock_parse(time, &at))
        return;
    if (lines->first == 0 || at < lines->first)
        lines->first = at;
    if (at > lines->last)
        lines->last = at;
}

static int take_record(AuditExport *lines, Slice text, const AuditLine *fields, uint64_t number)
{
    lines->bytes += text.len + sizeof(Line);
    if (lines->bytes > AUDIT_EXPORT_BYTES)
        return -EFBIG;
    bool named = fields->chain.len == AUDIT_CHAIN - 1;
    Chain *chain = chain_of(lines, named ? fields->chain : SLICE_LITERAL(NO_POD));
    MEM_PUSH(chain->line, chain->n_line, (Line){number, mem_dup(text.ptr, text.len), text.len});
    if (slice_is(fields->event, "audit.begin") && fields->pod.len) {
        char pod[200];
        audit_line_text(fields->pod, pod, sizeof(pod));
        snprintf(chain->pod, sizeof(chain->pod), "%s (chain %s)", pod, chain->name);
    }
    note_time(lines, fields->time);
    return 0;
}

/* A machine's audit has such lines too, but it is not here that they belong. */
static int take_line(AuditExport *lines, Slice text)
{
    AuditRecord record;
    AuditLine fields = {0};
    const char *at = memmem(text.ptr, text.len, BEGIN, sizeof(BEGIN) - 1);
    if (!at) {
        lines->result.others += text.len > 0;
        return 0;
    }
    text = (Slice){at, text.len - (size_t)(at - text.ptr)};
    if (text.ptr[text.len - 1] == '\r')
        text.len--;
    if (audit_record_parse(text, &record) == 0 && audit_line_parse(text, &fields) == 0)
        return take_record(lines, text, &fields, record.number);
    char sentence[256], begins[128];
    audit_line_text((Slice){text.ptr, text.len < 64 ? text.len : 64}, begins, sizeof(begins));
    snprintf(sentence, sizeof(sentence),
             "a line is no whole record: it was altered, or cut by the log it comes from. It begins: %s",
             begins);
    find(lines, AUDIT_PROBLEM, "", sentence);
    return 0;
}

static int take_lines(AuditExport *lines, Buf *text)
{
    Slice line, rest = buf_slice(text);
    int r = 0;
    while (!r && slice_cut(rest, '\n', &line, &rest))
        r = take_line(lines, line);
    if (!r && rest.len == text->max) { /* longer than any record of ours */
        lines->result.others++;
        rest.len = 0;
    }
    buf_consume(text, text->len - rest.len);
    return r;
}

int audit_export_read(AuditExport *lines, int fd)
{
    CLEANUP_BUF Buf text = BUF_INIT(READ_ROOM);
    int r = 0;
    lines->result.all.files++;
    for (ssize_t n = 1; !r && n != 0;) {
        char *room;
        size_t want = text.max - text.len;
        if ((r = buf_reserve(&text, want, &room)))
            break;
        n = read(fd, room, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        buf_commit(&text, (size_t)n);
        r = take_lines(lines, &text);
    }
    return r || text.len == 0 ? r : take_line(lines, buf_slice(&text));
}

/* --- verifying --- */

static int by_number(const void *a, const void *b)
{
    const Line *one = a, *other = b;
    if (one->number != other->number)
        return one->number < other->number ? -1 : 1;
    size_t len = one->len < other->len ? one->len : other->len;
    int order = memcmp(one->text, other->text, len);
    return order ? order : (one->len > other->len) - (one->len < other->len);
}

/* Its records in their order, each once, as the file that its agent would have written. */
static int put_together(AuditExport *lines, Chain *chain, int *ret_fd)
{
    CLEANUP_FD int fd = memfd_create("chain", MFD_CLOEXEC);
    CLEANUP_BUF Buf text = BUF_INIT(READ_ROOM);
    int r = fd < 0 ? -errno : 0;
    qsort(chain->line, chain->n_line, sizeof(Line), by_number);
    for (size_t i = 0; i < chain->n_line && !r; i++) {
        const Line *line = &chain->line[i];
        if (i && by_number(line - 1, line) == 0) {
            lines->result.twice++;
            continue;
        }
        if (text.len + line->len + 1 > text.max) {
            r = io_write_all(fd, text.data, text.len);
            buf_reset(&text);
        }
        r = r ? r : buf_append(&text, line->text, line->len);
        r = r ? r : buf_append(&text, "\n", 1);
    }
    r = r || text.len == 0 ? r : io_write_all(fd, text.data, text.len);
    if (!r)
        *ret_fd = fd_steal(&fd);
    return r;
}

static void add_up(AuditExported *all, const AuditVerified *one)
{
    all->all.records += one->records;
    all->all.problems += one->problems;
    all->all.notes += one->notes;
    all->all.seals += one->seals;
    all->all.seals_known += one->seals_known;
}

/* What is about the audit as a whole is about this pod. */
typedef struct OfChain {
    const AuditExport *lines;
    const Chain *chain;
} OfChain;

static void say_of_chain(void *context, const AuditFinding *finding)
{
    const OfChain *of = context;
    AuditFinding named = *finding;
    if (!named.file[0])
        named.file = of->chain->pod;
    of->lines->spec.say(of->lines->spec.context, &named);
}

static int verify_chain(AuditExport *lines, Chain *chain)
{
    OfChain of = {lines, chain};
    unsigned char key[AUDIT_KEY];
    CLEANUP_FD int fd = -1;
    int r = put_together(lines, chain, &fd);
    if (r)
        return r;
    audit_chain_key(lines->spec.key, chain->name, key);
    AuditVerify *verify =
        audit_verify_new(&(AuditVerifySpec){.key = key, .say = say_of_chain, .context = &of});
    for (size_t i = 0; i < chain->n_head; i++)
        audit_verify_expect(verify, &chain->head[i].seal, chain->head[i].run);
    r = audit_verify_file(verify, fd, chain->pod);
    AuditVerified result = audit_verify_end(verify);
    audit_verify_free(verify);
    explicit_bzero(key, sizeof(key));
    lines->result.pods++;
    add_up(&lines->result, &result);
    return r;
}

/* Nothing of it is there: its pod's log is not in the export, or somebody has taken it out. */
static void say_missing(AuditExport *lines, const Chain *chain)
{
    int64_t since = lines->spec.since ? lines->spec.since : lines->first;
    int64_t until = lines->spec.until ? lines->spec.until : lines->last;
    for (size_t i = 0; i < chain->n_head; i++) {
        const Head *head = &chain->head[i];
        char time[CLOCK_TEXT], sentence[256];
        if (head->seal.time < since || head->seal.time > until)
            continue;
        lines->result.missing++;
        snprintf(
            sentence, sizeof(sentence),
            "run %s is missing: the sink has its seal (record %llu, %s), and no line of its pod is here.",
            head->run, (unsigned long long)head->seal.number, clock_format(time, head->seal.time));
        find(lines, AUDIT_PROBLEM, chain->pod, sentence);
    }
}

int audit_export_end(AuditExport *lines, AuditExported *ret_exported)
{
    int r = 0;
    for (size_t i = 0; i < lines->n_chain && !r; i++) {
        Chain *chain = lines->chain[i];
        if (strcmp(chain->name, NO_POD) == 0) {
            char sentence[160];
            snprintf(
                sentence, sizeof(sentence),
                "%zu records name no pod's chain: they were altered, or are of a single machine's audit.",
                chain->n_line);
            find(lines, AUDIT_PROBLEM, "", sentence);
        } else if (chain->n_line == 0) {
            say_missing(lines, chain);
        } else {
            r = verify_chain(lines, chain);
        }
    }
    *ret_exported = lines->result;
    return r;
}

static void chain_free(Chain *chain)
{
    for (size_t i = 0; i < chain->n_line; i++)
        mem_free(chain->line[i].text);
    for (size_t i = 0; i < chain->n_head; i++)
        mem_free(chain->head[i].run);
    mem_free(chain->line);
    mem_free(chain->head);
    mem_free(chain);
}

AuditExport *audit_export_free(AuditExport *lines)
{
    if (!lines)
        return NULL;
    for (size_t i = 0; i < lines->n_chain; i++)
        chain_free(lines->chain[i]);
    mem_free(lines->chain);
    mem_free(lines);
    return NULL;
}
