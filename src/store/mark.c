/* Marks of revocations. See mark.h. */
#include "store/mark.h"

#include "base/clock.h"
#include "base/text.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static int hash_token(const unsigned char salt[static 16], const Sealed *token, unsigned char out[static 16])
{
    size_t len = secret_len(token);
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0)
        crypto_generichash(out, 16, (const unsigned char *)plain, len, salt, 16);
    secret_release(plain, len);
    return r;
}

int mark_make(const Sealed *token, int64_t now, char out[static MARK_TEXT])
{
    Mark mark = {.time = now};
    char time[CLOCK_TEXT], salt[33], hash[33];
    randombytes_buf(mark.salt, sizeof(mark.salt));
    int r = hash_token(mark.salt, token, mark.hash);
    if (r)
        return r;
    text_hex(salt, mark.salt, sizeof(mark.salt));
    text_hex(hash, mark.hash, sizeof(mark.hash));
    snprintf(out, MARK_TEXT, "%s %s %s", clock_format(time, now - now % CLOCK_SECOND), salt, hash);
    return 0;
}

static bool take_hex(Slice text, unsigned char out[static 16])
{
    size_t len = 0;
    return text.len == 32 && sodium_hex2bin(out, 16, text.ptr, text.len, NULL, &len, NULL) == 0 && len == 16;
}

int mark_parse(Slice text, Mark *ret_mark)
{
    Mark mark;
    Slice time, salt, hash;
    if (text.len >= MARK_TEXT || !slice_cut(text, ' ', &time, &text) || !slice_cut(text, ' ', &salt, &hash) ||
        clock_parse(time, &mark.time) || !take_hex(salt, mark.salt) || !take_hex(hash, mark.hash))
        return -EBADMSG;
    *ret_mark = mark;
    return 0;
}

/* A token that cannot be opened is not told from the one that was revoked. */
bool mark_means(const Mark *mark, const Sealed *token)
{
    unsigned char hash[16];
    bool opened = hash_token(mark->salt, token, hash) == 0;
    return !opened || sodium_memcmp(hash, mark->hash, sizeof(hash)) == 0;
}

int mark_refuse(const Mark *mark, const char *name, Fault *fault)
{
    char time[CLOCK_TEXT];
    return fault_set(fault, STORE_E_REVOKED,
                     "the token %s was revoked%s%s: `purser token set`, or its store, gives another", name,
                     mark ? " at " : "", mark ? clock_format(time, mark->time) : "");
}
