/* Caveats: what a holder has taken away from its lease, offline (lease.h). Each is "WORD=VALUE":
 *
 *   expires=2026-01-02T03:04:05Z   until then: RFC 3339 in UTC, by the keeper's wall clock
 *   host=api.github.com            requests to this host alone
 *   method=GET,HEAD                these methods; what overrides a request's method counts too
 *   path=/repos/acme/x             beneath the source's API, in the policies' language; byte for byte, as an
 *                                  allow rule. A GraphQL request has no path of that kind: it is refused
 *   graphql=query                  GraphQL operations of these types (query, mutation), or `none` at all;
 *                                  REST requests are not concerned
 *   requests=100  bytes=1000000    this many requests, bytes of answers, of this lease and of all that is
 *                                  narrowed from it together (narrowed.h)
 *
 * All are to be met, also several of one word. One that is not known or cannot be read refuses everything.
 * Pure; nothing allocates.
 */
#pragma once

#include "base/slice.h"

typedef enum CaveatWord {
    CAVEAT_EXPIRES,
    CAVEAT_HOST,
    CAVEAT_METHOD,
    CAVEAT_PATH,
    CAVEAT_GRAPHQL,
    CAVEAT_REQUESTS,
    CAVEAT_BYTES,
    CAVEAT_WORDS,
} CaveatWord;

typedef struct Caveat {
    CaveatWord word;
    int64_t expires;   /* wall, us */
    uint64_t number;   /* requests, bytes */
    uint32_t set;      /* methods (http/head.h), or operation types (graphql/graphql.h) */
    const char *value; /* host, path: points into the caveat's text */
} Caveat;

enum { CAVEAT_E_UNKNOWN = 1, CAVEAT_E_VALUE };

int caveat_parse(const char *text, Caveat *ret_caveat) MUST_USE;

/* "expires", ...; and what its value must be, for a sentence: "a host name, as in api.github.com". */
const char *caveat_word_text(CaveatWord word);
const char *caveat_value_text(CaveatWord word);

/* What a request is, for a caveat. */
typedef struct CaveatUse {
    int64_t wall; /* now */
    const char *host;
    uint32_t methods; /* its own and what it says in overrides */
    bool graphql;
    uint32_t operations; /* of GraphQL: the types in it that can run */
    Slice path;          /* of REST: beneath the source's API */
} CaveatUse;

/* Budgets (requests, bytes) are not asked about here. */
bool caveat_allows(const Caveat *caveat, const CaveatUse *use);
