/* The provider's own limits of one source, as its answers tell them (http/limit.h), and what of them is left
 * for people (`reserve:` in purser.yaml): what it would refuse is not asked, and answered here with the time
 * to wait.
 *
 * A provider may have several limits (GitHub: core, search, graphql). Which one counts a request is known
 * only from the answer, so a request is held against the limit that the last answer of its kind named; the
 * kind is a number of the caller's, the same for requests that a provider will count alike. One of an unknown
 * kind goes through, and tells. Retry-After with a 403 or 429 stops the whole source, unless a limit that is
 * used up explains it. Nothing is ever waited for longer than LIMITS_LONGEST_US, whatever an answer says.
 * Pure.
 */
#pragma once

#include "http/limit.h"

#define LIMITS_MAX        8 /* different ones of a source */
#define LIMITS_MAX_NAME   47
#define LIMITS_KINDS      64 /* known at a time; of more, the one asked for longest ago is forgotten */
#define LIMITS_LONGEST_US (3600ll * 1000000)

typedef struct Limit {
    char name[LIMITS_MAX_NAME + 1];
    uint64_t limit, remaining, used; /* HTTP_LIMIT_UNKNOWN */
    int64_t reset;                   /* mono, us; past: nothing of it counts any more */
    int64_t told;                    /* mono, us: by the last answer */
    uint32_t flying;                 /* requests that the provider has not counted yet, as far as is known */
} Limit;

typedef struct Limits {
    Limit limit[LIMITS_MAX];
    size_t n;
    int64_t paused; /* mono, us: until then nothing is asked */
    struct LimitsKind {
        uint32_t kind;
        uint32_t limit; /* index + 1; 0: unknown */
        int64_t asked;  /* mono, us: last */
    } kind[LIMITS_KINDS];
    uint64_t reserve;         /* requests (or what the provider counts) */
    unsigned reserve_percent; /* of the limit; the greater of both counts */
} Limits;

enum {
    LIMITS_E_PAUSED = 1, /* the provider has said Retry-After */
    LIMITS_E_NONE_LEFT,
    LIMITS_E_RESERVED,
};

typedef struct LimitsTicket {
    uint32_t limit; /* index + 1; 0: none */
} LimitsTicket;

/* Whether a request of that kind may be made. 0: it is under way until limits_end(), which every ticket is
 * given to once. Else *ret_retry_us, and *ret_limit when it is a limit that refuses. */
int limits_ask(Limits *limits, uint32_t kind, int64_t now, LimitsTicket *ret_ticket, const Limit **ret_limit,
               uint64_t *ret_retry_us) MUST_USE;
void limits_end(Limits *limits, LimitsTicket *ticket);

/* Takes what an answer says, after limits_end(). `area`: which of the provider's APIs it came from, since
 * each may have a limit that it calls the same or nothing at all: "graphql", a host; "" for the REST API.
 * Returns what the request has cost: as the answer says, else the rise of what the provider counts as used
 * (by others too), and never less than 1. */
uint64_t limits_note(Limits *limits, uint32_t kind, const char *area, const HttpLimits *said, int status,
                     int64_t now);

/* Whether a limit was told and its time is not over. */
bool limits_is_current(const Limit *limit, int64_t now);

/* How much of it leases leave to people. */
uint64_t limits_reserved(const Limits *limits, const Limit *limit);
