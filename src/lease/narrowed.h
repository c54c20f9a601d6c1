/* What narrowed leases have spent, and which of them were revoked: the keeper's only memory of them, of one
 * run. Kept by a caveat's place in the chain (lease.h), so that everything that was narrowed further shares
 * it. At most NARROWED_MAX places; what is beneath a revoked one needs none of its own, so whoever narrowed a
 * lease for another can always take it back.
 */
#pragma once

#include "lease/caveat.h"
#include "lease/lease.h"

#define NARROWED_MAX 256

/* A lease's caveats as they are asked about: of each place, what may be spent there. */
typedef struct Narrowing {
    size_t n;
    LeasePlace place[LEASE_MAX_CAVEATS];
    uint64_t requests[LEASE_MAX_CAVEATS], bytes[LEASE_MAX_CAVEATS]; /* NARROWED_NO_LIMIT */
    int64_t expires;                                                /* wall, us: the earliest; INT64_MAX */
} Narrowing;

#define NARROWED_NO_LIMIT UINT64_MAX

typedef struct NarrowedPlace {
    bool used, revoked;
    size_t depth; /* its own place is chain[depth - 1] */
    LeasePlace chain[LEASE_MAX_CAVEATS];
    uint64_t requests, bytes; /* spent */
} NarrowedPlace;

typedef struct Narrowed {
    NarrowedPlace *place;
    size_t n; /* places, used or free again */
} Narrowed;   /* zeroed: nothing was spent */

void narrowed_done(Narrowed *narrowed);

enum {
    NARROWED_E_REQUESTS = 1,
    NARROWED_E_BYTES,
    NARROWED_E_FULL, /* no room to remember one more */
};

bool narrowed_is_revoked(const Narrowed *narrowed, const Narrowing *narrowing);

/* Spends one request at every place that counts them, or none at all. *ret_at: the caveat that refuses. */
int narrowed_spend_request(Narrowed *narrowed, const Narrowing *narrowing, size_t *ret_at) MUST_USE;
void narrowed_return_request(Narrowed *narrowed, const Narrowing *narrowing); /* it was refused after all */

/* Body bytes of an answer, likewise; _ask: whether they could be spent. */
int narrowed_spend_received(Narrowed *narrowed, const Narrowing *narrowing, uint64_t bytes) MUST_USE;
int narrowed_ask_received(const Narrowed *narrowed, const Narrowing *narrowing, uint64_t bytes) MUST_USE;

/* Revokes the lease that has this chain, and all that was or will be narrowed from it. n > 0. */
int narrowed_revoke(Narrowed *narrowed, const Narrowing *narrowing) MUST_USE;

/* What is left at a place: NARROWED_NO_LIMIT where nothing is counted. */
uint64_t narrowed_requests_left(const Narrowed *narrowed, const Narrowing *narrowing, size_t at);
uint64_t narrowed_bytes_left(const Narrowed *narrowed, const Narrowing *narrowing, size_t at);
