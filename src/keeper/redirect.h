/* Where an API has just sent a run for a file (test results, logs' archives): the exact addresses, so that
 * only these may be fetched, without a token, and only for a while (promise 13: a redirect is a decision of
 * its own). Pure.
 */
#pragma once

#include "http/target.h"
#include "lease/narrowed.h"

#define REDIRECT_MAX  64                /* of one run; the oldest go */
#define REDIRECT_US   (600LL * 1000000) /* the signed addresses of storages live about as long */
#define REDIRECT_HASH 32

typedef struct Redirect {
    unsigned char hash[REDIRECT_HASH]; /* of host and target: the target is itself a credential to the file */
    uint32_t grant;                    /* index: whose answer it was, and who pays */
    Narrowing *narrowing;              /* of the lease that it was; NULL: it was not narrowed */
    int64_t until;                     /* mono us; 0: none */
} Redirect;

typedef struct Redirects {
    Redirect last[REDIRECT_MAX];
    size_t next; /* wraps: REDIRECT_MAX is a power of two */
} Redirects;

/* An absolute "https://host[:443]/path?query" into host (lower case) and normalised target. False: it is not
 * one that could be fetched. */
bool redirect_parse(Slice location, char ret_host[static 254], Target *ret_target);

void redirect_note(Redirects *redirects, const char *host, Slice target, uint32_t grant,
                   const Narrowing *narrowing, int64_t now);

/* The latest redirect to exactly this address within the last ten minutes, or NULL: several leases may have
 * been sent there, and who was sent last is who fetches. */
const Redirect *redirect_find(const Redirects *redirects, const char *host, Slice target, int64_t now);

void redirects_done(Redirects *redirects);
