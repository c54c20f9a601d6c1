/* The chain of lines. See chain.h. */
#include "audit/chain.h"

#include "base/text.h"

#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_KEY "{\"n\":"
#define MAC_KEY    ",\"mac\":\""
#define MAC_TAIL   (sizeof(MAC_KEY) - 1 + 2 * AUDIT_MAC + 2) /* ,"mac":"..."} */

void audit_mac(const unsigned char key[AUDIT_KEY], const AuditMac *previous, Slice body, AuditMac *ret_mac)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, AUDIT_KEY, AUDIT_MAC);
    crypto_generichash_update(&state, previous->bytes, AUDIT_MAC);
    crypto_generichash_update(&state, (const unsigned char *)body.ptr, body.len);
    crypto_generichash_final(&state, ret_mac->bytes, AUDIT_MAC);
}

bool audit_mac_equal(const AuditMac *a, const AuditMac *b)
{
    return sodium_memcmp(a->bytes, b->bytes, AUDIT_MAC) == 0;
}

const char *audit_mac_text(const AuditMac *mac, char out[static AUDIT_HEX])
{
    text_hex(out, mac->bytes, AUDIT_MAC);
    return out;
}

int audit_mac_parse(Slice text, AuditMac *ret_mac)
{
    AuditMac mac;
    char again[AUDIT_HEX];
    if (text.len != 2 * AUDIT_MAC ||
        sodium_hex2bin(mac.bytes, AUDIT_MAC, text.ptr, text.len, NULL, NULL, NULL) != 0)
        return -EBADMSG;
    if (!slice_is(text, audit_mac_text(&mac, again))) /* capital letters are not ours */
        return -EBADMSG;
    *ret_mac = mac;
    return 0;
}

const char *audit_installation(const unsigned char key[AUDIT_KEY], char out[static AUDIT_INSTALLATION])
{
    static const unsigned char what[] = "purser installation";
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof(hash), what, sizeof(what) - 1, key, AUDIT_KEY);
    text_hex(out, hash, (AUDIT_INSTALLATION - 1) / 2);
    return out;
}

void audit_chain_key(const unsigned char key[AUDIT_KEY], const char *chain, unsigned char ret_key[AUDIT_KEY])
{
    static const char what[] = "purser chain ";
    unsigned char made[AUDIT_KEY];
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, AUDIT_KEY, AUDIT_KEY);
    crypto_generichash_update(&state, (const unsigned char *)what, sizeof(what) - 1);
    crypto_generichash_update(&state, (const unsigned char *)chain, strlen(chain));
    crypto_generichash_final(&state, made, sizeof(made));
    memcpy(ret_key, made, sizeof(made));
    sodium_memzero(made, sizeof(made));
}

int audit_key_read(int fd, unsigned char ret_key[AUDIT_KEY], Fault *fault)
{
    unsigned char room[AUDIT_KEY + 1];
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fault_set(fault, -errno, "The audit's key cannot be read: %s.", strerror(errno));
    if (status.st_mode & (status.st_uid == geteuid() ? 077 : 022))
        return fault_set(fault, -EACCES,
                         "The audit's key can be read by others; give it the mode 0600 (chmod 600).");
    ssize_t n = pread(fd, room, sizeof(room), 0);
    int r = n < 0 ? -errno : n == AUDIT_KEY ? 0 : -EINVAL;
    if (r == 0)
        memcpy(ret_key, room, AUDIT_KEY);
    sodium_memzero(room, sizeof(room));
    if (r == -EINVAL)
        return fault_set(fault, r,
                         "The audit's key is not %d bytes long: it is damaged or no key of purser's.",
                         AUDIT_KEY);
    return r ? fault_set(fault, r, "The audit's key cannot be read: %s.", strerror(-r)) : 0;
}

int audit_record_parse(Slice line, AuditRecord *ret_record)
{
    AuditRecord record;
    Slice digits, rest;
    if (line.len < sizeof(NUMBER_KEY) + MAC_TAIL || line.len > AUDIT_MAX_RECORD ||
        !slice_starts(line, NUMBER_KEY) || !slice_ends(line, "\"}"))
        return -EBADMSG;
    record.body = (Slice){line.ptr, line.len - MAC_TAIL};
    Slice tail = {line.ptr + record.body.len, MAC_TAIL};
    slice_cut((Slice){line.ptr + sizeof(NUMBER_KEY) - 1, record.body.len - sizeof(NUMBER_KEY) + 1}, ',',
              &digits, &rest);
    if (!slice_starts(tail, MAC_KEY) || text_parse_u64(digits, UINT64_MAX - 1, &record.number) ||
        audit_mac_parse((Slice){tail.ptr + sizeof(MAC_KEY) - 1, 2 * AUDIT_MAC}, &record.mac))
        return -EBADMSG;
    *ret_record = record;
    return 0;
}

static int read_tail(int fd, char *room, size_t size, Slice *ret_text, bool *ret_whole)
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
    *ret_text = (Slice){room, len};
    *ret_whole = start == 0;
    return 0;
}

static void take_time(Slice body, char out[static CLOCK_TEXT])
{
    static const char key[] = ",\"time\":\"";
    const char *at = memmem(body.ptr, body.len, key, sizeof(key) - 1);
    Slice time = {"", 0}, rest;
    if (at)
        slice_cut((Slice){at + sizeof(key) - 1, (size_t)(body.ptr + body.len - at) - sizeof(key) + 1}, '"',
                  &time, &rest);
    if (time.len >= CLOCK_TEXT)
        time.len = 0;
    memcpy(out, time.ptr, time.len);
    out[time.len] = '\0';
}

/* What lies behind the last record is bound like lines of its own. */
static void absorb(const unsigned char *key, Slice text, AuditEnd *end)
{
    Slice line, rest = text;
    end->cut = text.len;
    end->unfinished = text.len && text.ptr[text.len - 1] != '\n';
    while (rest.len) {
        slice_cut(rest, '\n', &line, &rest);
        audit_mac(key, &end->last, line, &end->last);
    }
}

int audit_end_read(int fd, const unsigned char key[AUDIT_KEY], AuditEnd *ret_end)
{
    static char room[AUDIT_TAIL];
    AuditEnd end = {.number = 0};
    Slice text = {room, 0};
    bool whole = true;
    int r = read_tail(fd, room, sizeof(room), &text, &whole);
    if (r)
        return r;
    for (size_t stop = text.len; stop > 0;) {
        size_t line_end = text.ptr[stop - 1] == '\n' ? stop - 1 : stop, start = line_end;
        while (start > 0 && text.ptr[start - 1] != '\n')
            start--;
        AuditRecord record;
        bool is_whole = line_end < stop && (start > 0 || whole);
        if (is_whole && audit_record_parse((Slice){text.ptr + start, line_end - start}, &record) == 0) {
            end.number = record.number;
            end.last = record.mac;
            take_time(record.body, end.time);
            absorb(key, (Slice){text.ptr + stop, text.len - stop}, &end);
            *ret_end = end;
            return 0;
        }
        stop = start;
    }
    if (text.len)
        return -EBADMSG;
    *ret_end = end;
    return 0;
}
