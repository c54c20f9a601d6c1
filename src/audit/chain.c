/* The chain of lines. See chain.h. */
#include "audit/chain.h"

#include "audit/audit.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>

#define MAX_LINE (2 * AUDIT_MAX_RECORD)

void audit_hash(const char *line, size_t len, AuditHash *ret_hash)
{
    crypto_generichash(ret_hash->bytes, AUDIT_HASH, (const unsigned char *)line, len, NULL, 0);
}

const char *audit_hash_text(const AuditHash *hash, char out[static AUDIT_HEX])
{
    text_hex(out, hash->bytes, AUDIT_HASH);
    return out;
}

/* The number of {"n":17,...; 0 when it is not there. */
static uint64_t number_of(Slice line)
{
    uint64_t number = 0;
    Slice digits, rest;
    if (!slice_starts(line, "{\"n\":"))
        return 0;
    slice_cut((Slice){line.ptr + 5, line.len - 5}, ',', &digits, &rest);
    return text_parse_u64(digits, UINT64_MAX - 1, &number) ? 0 : number;
}

/* The hash that a record says the line before it has. Empty when it is not there. */
static Slice previous_of(Slice line)
{
    static const char key[] = "\"prev\":\"";
    size_t tail = sizeof(key) - 1 + 2 * AUDIT_HASH + 2; /* ..."} at its very end */
    if (line.len < tail || memcmp(line.ptr + line.len - tail, key, sizeof(key) - 1) != 0)
        return (Slice){"", 0};
    return (Slice){line.ptr + line.len - tail + sizeof(key) - 1, 2 * AUDIT_HASH};
}

static int read_tail(int fd, char *room, size_t size, size_t *ret_len)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    off_t start = status.st_size > (off_t)size ? status.st_size - (off_t)size : 0;
    size_t len = 0;
    while (start + (off_t)len < status.st_size) {
        ssize_t n = pread(fd, room + len, size - len, start + (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

int audit_chain_read_end(int fd, AuditChain *ret_chain)
{
    static char room[2 * MAX_LINE];
    size_t len = 0;
    int r = read_tail(fd, room, sizeof(room), &len);
    if (r || len == 0)
        return r;
    AuditChain chain = AUDIT_CHAIN_START;
    chain.unfinished = room[len - 1] != '\n';
    size_t end = chain.unfinished ? len : len - 1, start = end;
    while (start > 0 && room[start - 1] != '\n')
        start--;
    audit_hash(room + start, end - start, &chain.last);
    /* A line that was cut off has no number any more: the one before it has. */
    uint64_t number = number_of((Slice){room + start, end - start});
    for (uint64_t skipped = 1; number == 0 && start > 0; skipped++) {
        end = start - 1, start = end;
        while (start > 0 && room[start - 1] != '\n')
            start--;
        number = number_of((Slice){room + start, end - start});
        number += number ? skipped : 0;
    }
    chain.number = number + 1;
    *ret_chain = chain;
    return 0;
}

typedef struct Verify {
    AuditHash last;
    uint64_t line, records;
    uint64_t first_cut, n_cut; /* lines that are no records; the line behind is bound to each */
} Verify;

static int verify_line(Verify *verify, Slice line, Fault *fault)
{
    char expected[AUDIT_HEX];
    Slice previous = previous_of(line);
    verify->line++;
    if (previous.len == 0 || line.ptr[0] != '{') {
        verify->first_cut = verify->n_cut++ ? verify->first_cut : verify->line;
        audit_hash(line.ptr, line.len, &verify->last);
        return 0;
    }
    if (verify->line == 1 && !slice_is(previous, audit_hash_text(&verify->last, expected)))
        return fault_set(fault, -EBADMSG,
                         "line 1 is not the beginning: it was altered, or lines before it were taken out.");
    if (!slice_is(previous, audit_hash_text(&verify->last, expected)))
        return fault_set(
            fault, -EBADMSG,
            "the chain breaks between line %llu and line %llu: one of them was altered, or a line between "
            "them was taken out or put in.",
            (unsigned long long)verify->line - 1, (unsigned long long)verify->line);
    audit_hash(line.ptr, line.len, &verify->last);
    verify->records++;
    return 0;
}

int audit_verify(int fd, uint64_t *ret_records, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_LINE);
    Verify verify = {0};
    for (off_t at = 0;;) {
        char *room;
        size_t want = text.max - text.len;
        int r = buf_reserve(&text, want, &room);
        if (r || want == 0)
            return fault_set(fault, -EBADMSG, "line %llu is longer than a record can be.",
                             (unsigned long long)verify.line + 1);
        ssize_t n = pread(fd, room, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_set(fault, -errno, "cannot be read: %s.", strerror(errno));
        buf_commit(&text, (size_t)n);
        at += n;
        Slice line, rest = buf_slice(&text);
        while (slice_cut(rest, '\n', &line, &rest))
            if ((r = verify_line(&verify, line, fault)))
                return r;
        buf_consume(&text, text.len - line.len);
        if (n == 0)
            break;
    }
    if (text.len)
        return fault_set(fault, -EBADMSG, "the last line (%llu) is cut off.",
                         (unsigned long long)verify.line + 1);
    if (verify.n_cut)
        return fault_set(
            fault, -EBADMSG,
            "line %llu is not a whole record (there are %llu such): it was cut off by a crash, or "
            "by somebody, or altered while it was the last. The lines around it are sound.",
            (unsigned long long)verify.first_cut, (unsigned long long)verify.n_cut);
    *ret_records = verify.records;
    return 0;
}
