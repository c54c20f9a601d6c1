/* The decision on one request: lease -> grant -> method, override, path -> policy -> budget. A GraphQL
 * request is decided in two steps, since its body says what it asks for. Everything that the gate says is
 * checked again: a gate in an attacker's hands gets what its own run's leases allow, and no more. No I/O; the
 * clock is passed in; the only thing that changes is the budget.
 */
#pragma once

#include "config/config.h"
#include "graphql/graphql.h"
#include "ipc/keeper.h"
#include "ipc/stream.h"
#include "keeper/redirect.h"
#include "keeper/refusal.h"
#include "lease/budget.h"
#include "lease/lease.h"
#include "policy/policy.h"

/* What one run may do with one source: one lease. */
typedef struct Grant {
    uint32_t source;
    const Source *origin;
    const Policy *policy;
    unsigned char id[LEASE_ID];
    Budget budget;
    RunSource count; /* its report; .run is filled in when it is sent */
    bool seen;       /* the lease was presented */
    unsigned rule;   /* the policy's line that has decided last; 0: none named it */
} Grant;

typedef struct DecideRequest {
    const unsigned char *key; /* of the run */
    Grant *grant;             /* of the run */
    size_t n_grant;
    const Redirects *redirects; /* of the run */
    bool artifact;              /* the request is for a HOST_ARTIFACT of its source */
    const StreamRequest *request;
    const HttpHead *head; /* the request's headers, for http/head.h; only header and n_header are meant */
    int64_t now;          /* mono */
} DecideRequest;

/* True: allowed, and one request is spent of *ret_grant, which goes to *ret_host of its source
 * (source_origin()). False: *ret_refused says why; *ret_grant is the grant that was meant, for counting, or
 * NULL. Of a request for which decide_is_graphql() holds, the policy was not asked yet: what it asks for is
 * for decide_graphql(). It is spent all the same, because reading it is what costs. */
bool decide_request(const DecideRequest *decide, Grant **ret_grant, uint32_t *ret_host, Refused *ret_refused);

/* Whether it is for the source's GraphQL endpoint, however that is spelt. */
bool decide_is_graphql(const StreamRequest *request, const Source *source);

/* The second step, when the body is there: whether the lease still holds -> policy. */
bool decide_graphql(Grant *grant, const GraphqlChosen *chosen, int64_t now, Refused *ret_refused);

/* A budget that is used up while bodies stream. */
bool decide_budget(int result, uint64_t retry_us, Refused *ret_refused);
