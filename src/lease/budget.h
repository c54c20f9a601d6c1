/* What is left of a lease: requests, bytes, rate and time. Pure arithmetic on a clock that is passed in. */
#pragma once

#include "policy/policy.h"

typedef struct Budget {
    PolicyBudget limit;                                             /* no zeros: defaults are filled in */
    uint64_t requests, request_bytes, response_bytes, graphql_cost; /* spent */
    uint64_t dearest;                                               /* query so far */
    int64_t expires;                                                /* mono, us */
    uint64_t bucket;   /* rate: thousandths of a request that may be made now */
    int64_t bucket_at; /* mono, us */
    bool revoked;
} Budget;

enum {
    BUDGET_E_EXPIRED = 1,
    BUDGET_E_REVOKED,
    BUDGET_E_REQUESTS,
    BUDGET_E_REQUEST_BYTES,
    BUDGET_E_RESPONSE_BYTES,
    BUDGET_E_RATE, /* *ret_retry_us: when one more request is allowed */
    BUDGET_E_COST,
};

/* Defaults: 10,000 requests, 64 MiB sent, 2 GiB received, 100/s, `time` of the run; any GraphQL cost. */
void budget_init(Budget *budget, const PolicyBudget *limit, uint64_t run_time, int64_t now);

/* Spends one request. `graphql`: one whose cost will be told when it is answered. */
int budget_spend_request(Budget *budget, bool graphql, int64_t now, uint64_t *ret_retry_us) MUST_USE;
void budget_return_request(Budget *budget); /* it was refused after all */
/* What a GraphQL request has cost; the one that goes over was answered already. */
void budget_spend_cost(Budget *budget, uint64_t cost);
/* The same where no answer came that told it: as much as the dearest one so far, or 1. */
void budget_spend_untold(Budget *budget);
/* Spends body bytes; the piece that goes over is refused. */
int budget_spend_sent(Budget *budget, uint64_t bytes) MUST_USE;
int budget_spend_received(Budget *budget, uint64_t bytes) MUST_USE;

const char *
budget_error_text(int error); /* a sentence without its end: "the lease's request budget is used up" */
