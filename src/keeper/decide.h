/* The decision on one request: lease -> grant -> method, override, path -> policy -> what the lease was
 * narrowed to -> what the source still gives -> budget. A GraphQL request is decided in two steps, since its
 * body says what it asks for. Everything that the gate says is checked again: a gate in an attacker's hands
 * gets what its own run's leases allow, and no more. No I/O; the clocks are passed in; the only thing that
 * changes is what is left.
 */
#pragma once

#include "config/config.h"
#include "graphql/graphql.h"
#include "ipc/keeper.h"
#include "ipc/stream.h"
#include "keeper/redirect.h"
#include "keeper/refusal.h"
#include "lease/budget.h"
#include "lease/limits.h"
#include "lease/narrowed.h"
#include "lease/share.h"
#include "policy/policy.h"

/* What one run may do with one source: one lease. */
typedef struct Grant {
    uint32_t source;
    const Source *origin;
    const Policy *policy;
    int64_t audit_until; /* wall us: until then a safe request passes that no rule allows, and is recorded */
    unsigned char id[LEASE_ID];
    Budget budget;
    RunSource count; /* its report; .run is filled in when it is sent */
    bool seen;       /* the lease was presented */
    Limits *limits;  /* of the source, with all its leases; both NULL: without limit */
    Share *share;
    ShareMember member; /* of share */
} Grant;

typedef struct DecideRequest {
    const unsigned char *key; /* of the run */
    Grant *grant;             /* of the run */
    size_t n_grant;
    const Redirects *redirects; /* of the run */
    bool artifact;              /* the request is for a HOST_ARTIFACT of its source */
    const StreamRequest *request;
    const HttpHead *head; /* the request's headers, for http/head.h; only header and n_header are meant */
    int64_t now, wall;    /* mono, wall */
    Narrowed *narrowed;   /* of the run */
} DecideRequest;

/* The lease that was presented, which lives and is of this run. */
typedef struct Presented {
    Grant *grant;
    LeaseClaims claims;
    Caveat caveat[LEASE_MAX_CAVEATS]; /* point into claims */
    Narrowing narrowing;
} Presented;

/* presented.c: of decide->request only the credential is asked. False: *ret_refused says why, and
 * ret_presented->grant is the grant that was meant, or NULL. */
bool decide_lease(const DecideRequest *decide, Presented *ret_presented, Refused *ret_refused);
/* Whether a request's caveats allow it. Of GraphQL use->operations becomes those that they leave: what is
 * asked for is known only later. */
bool decide_caveats(const Presented *presented, CaveatUse *use, Refused *ret_refused);

typedef struct Decided {
    Grant *grant;        /* also when it was refused, for counting, once it is known; else NULL */
    uint32_t host;       /* of its source (source_origin()): where it goes */
    Narrowing narrowing; /* what the answer's bytes are spent of */
    unsigned rule;       /* the policy's line that has decided; 0: none named it */
    uint32_t kind;       /* limits.h */
    LimitsTicket ticket; /* to be given back, once, with limits_end() */
    bool graphql;
    Refused would;           /* what the rules say of it, where it passes all the same (`mode: audit`) */
    uint64_t response_bytes; /* that a rule lets this one answer have, and */
    unsigned bounded_by;     /* its line; 0: no bound but the lease's */
    uint32_t operations;     /* of GraphQL: the types that the lease was narrowed to */
} Decided;

/* True: allowed, and one request is spent. False: nothing is, and *ret_refused says why. Of a request for
 * which decide_is_graphql() holds, the policy was not asked yet: what it asks for is for decide_graphql(). It
 * is spent all the same, because reading it is what costs. */
bool decide_request(const DecideRequest *decide, Decided *ret_decided, Refused *ret_refused);

/* Whether it is for the source's GraphQL endpoint, however that is spelt. */
bool decide_is_graphql(const StreamRequest *request, const Source *source);

/* The second step, when the body is there: whether the lease still holds -> policy -> what it was narrowed
 * to. Of `decide` only the clocks and what was narrowed are asked. */
bool decide_graphql(const DecideRequest *decide, Decided *decided, const GraphqlChosen *chosen,
                    Refused *ret_refused);

/* Whether an answer may be of so many bytes, by what its rule says. */
bool decide_answer(const Decided *decided, uint64_t received, Refused *ret_refused);

/* presented.c: whether a lease of before still lives. */
bool decide_alive(const DecideRequest *decide, const Grant *grant, const Narrowing *narrowing,
                  Refused *ret_refused);
/* spend.c: one request of everything that is counted, or of nothing. */
bool decide_spend(const DecideRequest *decide, Decided *decided, Refused *ret_refused);

/* A budget that is used up, also while bodies stream: of the lease, of what it was narrowed to. */
bool decide_budget(int result, uint64_t retry_us, Refused *ret_refused);
bool decide_narrowed(int result, Refused *ret_refused);
