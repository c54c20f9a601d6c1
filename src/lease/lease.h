/* A lease: the short-lived credential of one run for one source.
 *
 *   psl_1 + base64url( id[16] , n caveats: u16 length, bytes , tag[32] )
 *   tag0 = BLAKE2b-256(key = lease key, id); tagN = BLAKE2b-256(key = tagN-1, caveatN)
 *
 * The holder can add caveats offline; none can be taken off. The keeper holds one lease key per run, and the
 * budgets, never the lease; nothing outside the keeper can compute a tag. caveat.h has what a caveat may say;
 * one that the keeper does not know makes the lease refuse everything.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

#define LEASE_PREFIX      "psl_1"
#define LEASE_KEY         32
#define LEASE_ID          16
#define LEASE_TAG         32
#define LEASE_MAX_CAVEATS 16
#define LEASE_MAX_CAVEAT  256
#define LEASE_MAX_TEXT    1400 /* longest text, with its NUL */
#define LEASE_PLACE       16

/* A caveat's place in the chain: everything that is narrowed further from it has the same one. A hash of its
 * tag, so that it can be kept where the tag may not. */
typedef struct LeasePlace {
    unsigned char hash[LEASE_PLACE];
} LeasePlace;

typedef struct LeaseClaims {
    unsigned char id[LEASE_ID];
    char caveat[LEASE_MAX_CAVEATS][LEASE_MAX_CAVEAT + 1];
    LeasePlace place[LEASE_MAX_CAVEATS];
    size_t n_caveat;
} LeaseClaims;

enum {
    LEASE_E_FORMAT = 1, /* not a lease of this version */
    LEASE_E_TAG,        /* a lease, but not of this key: another run's, or tampered with */
};

/* A fresh key; in memory that the caller owns and guards. */
void lease_key_make(unsigned char ret_key[LEASE_KEY]);
void lease_issue(const unsigned char key[LEASE_KEY], const unsigned char id[LEASE_ID],
                 char ret_text[LEASE_MAX_TEXT]);

/* Offline, by the holder: the same lease with one more caveat. LEASE_E_FORMAT, or -ENOBUFS: the caveat is
 * empty or too long, or the lease has no room for it. */
int lease_narrow(Slice text, const char *caveat, char ret_text[LEASE_MAX_TEXT]) MUST_USE;

/* Checks form and tag (in constant time). The claims are only meaningful on 0. */
int lease_verify(const unsigned char key[LEASE_KEY], Slice text, LeaseClaims *ret_claims) MUST_USE;

/* Whether it looks like a lease at all, whoever's. */
bool lease_is_lease(Slice text);
