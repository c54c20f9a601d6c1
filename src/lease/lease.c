/* Leases: issuing, narrowing, verifying. See lease.h. */
#include "lease/lease.h"

#include <errno.h>
#include <sodium.h>

#define PREFIX_LEN (sizeof(LEASE_PREFIX) - 1)
#define MAX_RAW    1024 /* bytes behind the prefix, decoded */

_Static_assert(sodium_base64_ENCODED_LEN(MAX_RAW, sodium_base64_VARIANT_URLSAFE_NO_PADDING) + PREFIX_LEN <=
                   LEASE_MAX_TEXT,
               "the longest lease fits its text");

void lease_key_make(unsigned char ret_key[LEASE_KEY])
{
    randombytes_buf(ret_key, LEASE_KEY);
}

static void tag_of(const unsigned char key[LEASE_TAG], const void *bytes, size_t len,
                   unsigned char ret_tag[LEASE_TAG])
{
    crypto_generichash(ret_tag, LEASE_TAG, bytes, len, key, LEASE_TAG);
}

static void write_text(const unsigned char *raw, size_t len, char ret_text[LEASE_MAX_TEXT])
{
    memcpy(ret_text, LEASE_PREFIX, PREFIX_LEN);
    sodium_bin2base64(ret_text + PREFIX_LEN, LEASE_MAX_TEXT - PREFIX_LEN, raw, len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static int read_text(Slice text, unsigned char raw[MAX_RAW], size_t *ret_len)
{
    const char *end;
    if (!lease_is_lease(text) || text.len >= LEASE_MAX_TEXT)
        return LEASE_E_FORMAT;
    if (sodium_base642bin(raw, MAX_RAW, text.ptr + PREFIX_LEN, text.len - PREFIX_LEN, NULL, ret_len, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        end != text.ptr + text.len || *ret_len < LEASE_ID + LEASE_TAG)
        return LEASE_E_FORMAT;
    return 0;
}

void lease_issue(const unsigned char key[LEASE_KEY], const unsigned char id[LEASE_ID],
                 char ret_text[LEASE_MAX_TEXT])
{
    unsigned char raw[LEASE_ID + LEASE_TAG];
    memcpy(raw, id, LEASE_ID);
    tag_of(key, id, LEASE_ID, raw + LEASE_ID);
    write_text(raw, sizeof(raw), ret_text);
    sodium_memzero(raw, sizeof(raw));
}

static int count_caveats(const unsigned char *raw, size_t end, size_t *ret_count)
{
    size_t count = 0;
    for (size_t at = LEASE_ID; at < end; count++) {
        size_t n = end - at >= 2 ? (size_t)raw[at] << 8 | raw[at + 1] : 0;
        if (n == 0 || n > LEASE_MAX_CAVEAT || n > end - at - 2)
            return LEASE_E_FORMAT;
        at += 2 + n;
    }
    *ret_count = count;
    return 0;
}

int lease_narrow(Slice text, const char *caveat, char ret_text[LEASE_MAX_TEXT])
{
    unsigned char raw[MAX_RAW], tag[LEASE_TAG];
    size_t len, caveats, n = strlen(caveat);
    int r = read_text(text, raw, &len);
    if (r == 0)
        r = count_caveats(raw, len - LEASE_TAG, &caveats);
    if (r == 0 && (n == 0 || n > LEASE_MAX_CAVEAT || caveats == LEASE_MAX_CAVEATS || len + 2 + n > MAX_RAW))
        r = -ENOBUFS; /* the keeper would refuse it */
    if (r) {
        sodium_memzero(raw, sizeof(raw));
        return r;
    }
    size_t at = len - LEASE_TAG;
    tag_of(raw + at, caveat, n, tag);
    raw[at] = (unsigned char)(n >> 8);
    raw[at + 1] = (unsigned char)(n & 255);
    memcpy(raw + at + 2, caveat, n);
    memcpy(raw + at + 2 + n, tag, LEASE_TAG);
    write_text(raw, len + 2 + n, ret_text);
    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(tag, sizeof(tag));
    return 0;
}

/* The next caveat between *at and end: moves past it. */
static int take_caveat(const unsigned char *raw, size_t *at, size_t end, LeaseClaims *claims,
                       Slice *ret_caveat)
{
    if (claims->n_caveat == LEASE_MAX_CAVEATS || end - *at < 2)
        return LEASE_E_FORMAT;
    size_t n = (size_t)raw[*at] << 8 | raw[*at + 1];
    if (n == 0 || n > LEASE_MAX_CAVEAT || n > end - *at - 2)
        return LEASE_E_FORMAT;
    *ret_caveat = (Slice){(const char *)raw + *at + 2, n};
    if (memchr(ret_caveat->ptr, '\0', n))
        return LEASE_E_FORMAT;
    memcpy(claims->caveat[claims->n_caveat], ret_caveat->ptr, n);
    claims->caveat[claims->n_caveat++][n] = '\0';
    *at += 2 + n;
    return 0;
}

/* Each tag is the key of the next: the old one goes. */
static void next_tag(unsigned char tag[LEASE_TAG], Slice caveat, LeasePlace *ret_place)
{
    static const unsigned char what[] = "place";
    unsigned char next[LEASE_TAG];
    tag_of(tag, caveat.ptr, caveat.len, next);
    memcpy(tag, next, LEASE_TAG);
    sodium_memzero(next, sizeof(next));
    crypto_generichash(ret_place->hash, LEASE_PLACE, what, sizeof(what), tag, LEASE_TAG);
}

int lease_verify(const unsigned char key[LEASE_KEY], Slice text, LeaseClaims *ret_claims)
{
    unsigned char raw[MAX_RAW], tag[LEASE_TAG];
    size_t len, at = LEASE_ID;
    int r = read_text(text, raw, &len);
    if (r)
        return r;
    ret_claims->n_caveat = 0;
    memcpy(ret_claims->id, raw, LEASE_ID);
    tag_of(key, raw, LEASE_ID, tag);
    while (!r && at < len - LEASE_TAG) {
        Slice caveat;
        if (!(r = take_caveat(raw, &at, len - LEASE_TAG, ret_claims, &caveat)))
            next_tag(tag, caveat, &ret_claims->place[ret_claims->n_caveat - 1]);
    }
    if (!r && sodium_memcmp(tag, raw + len - LEASE_TAG, LEASE_TAG) != 0)
        r = LEASE_E_TAG;
    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(tag, sizeof(tag));
    return r;
}

bool lease_is_lease(Slice text)
{
    return slice_starts(text, LEASE_PREFIX);
}
