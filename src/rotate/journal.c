/* A source's rotation journal. See journal.h. */
#include "rotate/journal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

struct Journal {
    char *source, *path;
    int fd;
    unsigned char key[AUDIT_KEY];
    JournalEnd end;
    Buf text;
    JournalShare *share; /* NULL: it stays here */
    void *context;
    char *who;
    JournalEnd shared_end;
    Buf shared;
};

const unsigned char JOURNAL_SHARED_KEY[AUDIT_KEY] = "purser: the journal in the store";

static bool is_step(Slice word)
{
    if (word.len == 0 || word.len >= JOURNAL_STEP)
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] < 'a' || word.ptr[i] > 'z')
            return false;
    return true;
}

static bool is_printable(Slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return false;
    return text_is_utf8(text);
}

int journal_parse(Slice text, JournalLine *ret_line)
{
    JournalLine line = {0};
    Slice number, time, step, mac, rest;
    char again[CLOCK_TEXT];
    if (text.len > JOURNAL_MAX_LINE || !slice_cut(text, ' ', &number, &rest) ||
        !slice_cut(rest, ' ', &time, &rest) || !slice_cut(rest, ' ', &step, &rest) ||
        !slice_cut(rest, ' ', &mac, &line.detail))
        return -EBADMSG;
    if (text_parse_u64(number, UINT32_MAX, &line.number) || clock_parse(time, &line.time) ||
        !slice_is(time, clock_format(again, line.time)) || !is_step(step) ||
        audit_mac_parse(mac, &line.mac) || !is_printable(line.detail))
        return -EBADMSG;
    memcpy(line.step, step.ptr, step.len);
    *ret_line = line;
    return 0;
}

/* The mac of a line is of everything else in it. */
static int make_mac(const unsigned char key[AUDIT_KEY], const AuditMac *previous, const JournalLine *line,
                    AuditMac *ret_mac)
{
    CLEANUP_BUF Buf body = BUF_INIT(2 * JOURNAL_MAX_LINE);
    char time[CLOCK_TEXT];
    int r = buf_printf(&body, "%llu %s %s ", (unsigned long long)line->number, clock_format(time, line->time),
                       line->step);
    r = r ? r : buf_append_slice(&body, line->detail);
    if (r == 0)
        audit_mac(key, previous, buf_slice(&body), ret_mac);
    return r;
}

static JournalEnd begin(const char *source, const unsigned char key[AUDIT_KEY])
{
    JournalEnd end = {0};
    CLEANUP_MEM char *what = mem_printf("purser rotation %s", source);
    audit_mac(key, &end.last, slice_of(what), &end.last);
    return end;
}

static void take(JournalEnd *end, const JournalLine *line)
{
    if (strcmp(line->step, "begin") == 0) {
        end->open = end->forward = true;
        end->given = end->revoking = end->asked = end->told[0] = end->told[1] = false;
        end->begun = line->time;
        end->revoked = 0;
    } else if (strcmp(line->step, "revoke") == 0) {
        end->begun = end->open ? end->begun : line->time;
        end->revoked = end->revoking ? end->revoked : line->time;
        end->open = end->revoking = true;
    } else if (strcmp(line->step, "end") == 0) {
        end->open = end->given = end->revoking = end->asked = end->told[0] = end->told[1] = false;
    } else if (strcmp(line->step, "ask") == 0) {
        end->asked = true;
    } else if (strcmp(line->step, "switch") == 0) { /* so it was staged */
        end->given = true;
        end->asked = false;
    } else if (strcmp(line->step, "retire") == 0) {
        end->told[!end->forward] = true;
    } else if (strcmp(line->step, "resume") == 0) {
        end->forward = true;
    } else if (strcmp(line->step, "abort") == 0 || strcmp(line->step, "turn") == 0) {
        end->forward = false;
    }
    end->number = line->number;
    end->last = line->mac;
    end->time = line->time;
    memcpy(end->step, line->step, sizeof(end->step));
}

static bool begins_something(const char *step)
{
    static const char *const steps[] = {"begin", "resume", "abort", "revoke"};
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (strcmp(step, steps[i]) == 0)
            return true;
    return false;
}

/* Onto `out`, and into `end`. */
static int put_line(const unsigned char key[AUDIT_KEY], JournalEnd *end, int64_t when, const char *step,
                    const char *detail, Buf *out)
{
    char time[CLOCK_TEXT], mac[AUDIT_HEX];
    JournalLine line = {.number = end->number + 1, .time = when, .detail = slice_of(detail)};
    snprintf(line.step, sizeof(line.step), "%s", step);
    size_t before = out->len;
    int r = make_mac(key, &end->last, &line, &line.mac);
    r = r ? r
          : buf_printf(out, "%llu %s %s %s %s\n", (unsigned long long)line.number,
                       clock_format(time, line.time), line.step, audit_mac_text(&line.mac, mac), detail);
    if (r)
        return r;
    take(end, &line);
    end->whole += out->len - before;
    return 0;
}

int journal_shorten(const char *source, const unsigned char key[AUDIT_KEY], const JournalEnd *end, Buf *out,
                    JournalEnd *ret_end)
{
    static const char *const detail = "what came before was too long to be kept here";
    const bool begun = end->open && !(end->revoking && !end->given), *told = end->told;
    const struct {
        bool is;
        const char *step;
        int64_t time;
    } line[] = {{begun, "begin", end->begun},
                {end->given, "switch", end->time},
                {end->asked, "ask", end->time},
                {begun && told[0], "retire", end->time},
                {end->open && (!end->forward || (begun && told[1])), "abort", end->time},
                {begun && told[1], "retire", end->time},
                {begun && end->forward && told[1], "resume", end->time},
                {end->revoking, "revoke", end->begun}};
    JournalEnd anew = begin(source, key);
    int r = 0;
    buf_reset(out);
    for (size_t i = 0; i < COUNT_OF(line) && r == 0; i++)
        if (line[i].is)
            r = put_line(key, &anew, line[i].time, line[i].step, detail, out);
    if (r == 0)
        *ret_end = anew;
    return r;
}

int journal_read(const char *source, Slice text, const unsigned char key[AUDIT_KEY], JournalEach *each,
                 void *context, JournalEnd *ret_end, Fault *fault)
{
    JournalEnd end = begin(source, key);
    Slice one, rest = text;
    while (slice_cut(rest, '\n', &one, &rest)) {
        JournalLine line;
        AuditMac mac;
        if (journal_parse(one, &line) || line.number != end.number + 1 ||
            make_mac(key, &end.last, &line, &mac) || !audit_mac_equal(&mac, &line.mac))
            return fault_set(fault, -EBADMSG,
                             "the rotation journal of %s was altered at its line %llu, so it is not gone on "
                             "with: look at what happened, then put the file aside; store and provider "
                             "still tell how the rotation stands",
                             source, (unsigned long long)end.number + 1);
        take(&end, &line);
        end.whole += one.len + 1;
        if (each)
            each(context, &line);
    }
    *ret_end = end;
    return 0;
}

static int failed(const char *path, const char *what, int error, Fault *fault)
{
    return fault_set(fault, error, "the rotation journal %s cannot be %s: %s", path, what, strerror(-error));
}

static int open_file(const char *folder, Journal *journal)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return -errno;
    journal->fd =
        open(journal->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    return journal->fd < 0 ? -errno : io_sync_folder_of(journal->path);
}

/* One that a person is waited for, again and again, grows while it is open: what matters goes on, in one
 * step. Whoever has the old file open has nothing to add to it any more. */
static int shorten(const char *folder, Journal *journal)
{
    CLEANUP_MEM char *name = mem_printf("%s.journal", journal->source),
                     *before = mem_printf("%s.before", name);
    CLEANUP_BUF Buf out = BUF_INIT(JOURNAL_MAX_SHARED);
    JournalEnd end;
    CLEANUP_FD int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r =
        folder_fd < 0 ? -errno : journal_shorten(journal->source, journal->key, &journal->end, &out, &end);
    r = r ? r : io_replace(folder_fd, before, buf_slice(&journal->text), 0600);
    r = r ? r : io_replace(folder_fd, name, buf_slice(&out), 0600);
    if (r)
        return r;
    (void)!ftruncate(journal->fd, 0);
    fd_close(&journal->fd);
    journal->end = end;
    buf_reset(&journal->text);
    r = buf_append_slice(&journal->text, buf_slice(&out));
    return r ? r : open_file(folder, journal);
}

/* A long one whose last rotation has ended is put aside. */
static int begin_anew(const char *folder, Journal *journal)
{
    CLEANUP_MEM char *before = mem_printf("%s.before", journal->path);
    if (journal->end.whole < JOURNAL_MAX / 2)
        return 0;
    if (journal->end.open)
        return shorten(folder, journal);
    if (rename(journal->path, before) < 0)
        return -errno;
    fd_close(&journal->fd);
    journal->end = begin(journal->source, journal->key);
    buf_reset(&journal->text);
    return open_file(folder, journal);
}

static int read_file(Journal *journal, Fault *fault)
{
    struct stat status;
    if (fstat(journal->fd, &status) < 0 || !S_ISREG(status.st_mode))
        return failed(journal->path, "read", -EINVAL, fault);
    int r = io_read_all(journal->fd, &journal->text);
    if (r)
        return failed(journal->path, "read", r, fault);
    r = journal_read(journal->source, buf_slice(&journal->text), journal->key, NULL, NULL, &journal->end,
                     fault);
    if (r == 0 && journal->end.whole < journal->text.len) {
        buf_truncate(&journal->text, journal->end.whole);
        r = ftruncate(journal->fd, (off_t)journal->end.whole) < 0
                ? failed(journal->path, "mended", -errno, fault)
                : 0;
    }
    return r;
}

int journal_open(const char *folder, const char *source, const unsigned char key[AUDIT_KEY],
                 Journal **ret_journal, Fault *fault)
{
    Journal *journal = MEM_NEW(Journal);
    *journal = (Journal){.source = mem_strdup(source),
                         .path = mem_printf("%s/%s.journal", folder, source),
                         .fd = -1,
                         .text = BUF_INIT(JOURNAL_MAX),
                         .shared = BUF_INIT(JOURNAL_MAX_SHARED)};
    memcpy(journal->key, key, AUDIT_KEY);
    int r = open_file(folder, journal);
    r = r ? failed(journal->path, "opened", r, fault) : read_file(journal, fault);
    int put_aside = r ? 0 : begin_anew(folder, journal);
    if (put_aside)
        r = failed(journal->path, "put aside", put_aside, fault);
    if (r) {
        journal_free(journal);
        return r;
    }
    *ret_journal = journal;
    return 0;
}

const JournalEnd *journal_end(const Journal *journal)
{
    return journal->shared_end.number ? &journal->shared_end : &journal->end;
}

Slice journal_text(const Journal *journal)
{
    return buf_slice(&journal->text);
}

int journal_share(Journal *journal, Slice text, const char *who, JournalShare *share, void *context,
                  Fault *fault)
{
    JournalEnd end;
    int r = journal_read(journal->source, text, JOURNAL_SHARED_KEY, NULL, NULL, &end, fault);
    if (r)
        return fault_prefix(fault, r, "in the store");
    buf_reset(&journal->shared);
    r = buf_append(&journal->shared, text.ptr, end.whole);
    if (r)
        return fault_set(fault, r, "the rotation journal of %s in the store is too long", journal->source);
    if (journal->end.open && end.number && !end.open)
        r = journal_add(journal, "end", fault, "it was ended from another machine, or had changed nothing");
    if (r)
        return r;
    journal->shared_end = end;
    journal->share = share;
    journal->context = context;
    journal->who = mem_strdup(who);
    return 0;
}

static int add_shared(Journal *journal, const char *step, const char *detail, Fault *fault)
{
    bool long_ago = !journal->shared_end.open && journal->shared.len > JOURNAL_MAX_SHARED / 2;
    CLEANUP_MEM char *whole =
        begins_something(step) ? mem_printf("%s: %s", journal->who, detail) : mem_strdup(detail);
    int r = 0;
    if (long_ago || journal->shared.len + JOURNAL_MAX_LINE > JOURNAL_MAX_SHARED)
        r = journal_shorten(journal->source, JOURNAL_SHARED_KEY, &journal->shared_end, &journal->shared,
                            &journal->shared_end);
    r = r ? r
          : put_line(JOURNAL_SHARED_KEY, &journal->shared_end, clock_wall(), step, whole, &journal->shared);
    if (r)
        return fault_set(fault, r, "the rotation journal in the store cannot be written: %s", strerror(-r));
    return journal->share(journal->context, buf_slice(&journal->shared), fault);
}

/* Behind what this process knows, or not at all: one that stood still while another went on has nothing to
 * say. */
static int append(const Journal *journal, Slice line)
{
    struct stat status = {0};
    size_t whole = journal->end.whole;
    int r = flock(journal->fd, LOCK_EX) < 0 || fstat(journal->fd, &status) < 0 ? -errno : 0;
    if (r == 0 && (size_t)status.st_size != whole)
        r = -ESTALE;
    if (r == 0) {
        r = io_write_all(journal->fd, line.ptr, line.len);
        if (r == 0 && fsync(journal->fd) < 0)
            r = -errno;
        if (r)
            (void)!ftruncate(journal->fd, (off_t)whole);
    }
    flock(journal->fd, LOCK_UN);
    return r;
}

int journal_add(Journal *journal, const char *step, Fault *fault, const char *fmt, ...)
{
    char raw[512], detail[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(raw, sizeof(raw), fmt, args);
    va_end(args);
    text_escape(detail, sizeof(detail), raw, strlen(raw));
    CLEANUP_BUF Buf text = BUF_INIT(2 * JOURNAL_MAX_LINE);
    JournalEnd end = journal->end;
    int r = put_line(journal->key, &end, clock_wall(), step, detail, &text);
    r = r ? r : append(journal, buf_slice(&text));
    if (r == -ESTALE)
        return fault_set(fault, r, "another process has gone on with the rotation of %s, as %s tells",
                         journal->source, journal->path);
    if (r)
        return failed(journal->path, "written", r, fault);
    journal->end = end;
    return journal->share ? add_shared(journal, step, detail, fault) : 0;
}

Journal *journal_free(Journal *journal)
{
    if (!journal)
        return NULL;
    fd_close(&journal->fd);
    buf_done(&journal->text);
    buf_done(&journal->shared);
    mem_free(journal->who);
    mem_free(journal->source);
    mem_free(journal->path);
    explicit_bzero(journal->key, sizeof(journal->key));
    mem_free(journal);
    return NULL;
}
