/* What is left of a lease. See budget.h. */
#include "lease/budget.h"

#define DEFAULT_REQUESTS       10000
#define DEFAULT_REQUEST_BYTES  (64ull << 20)
#define DEFAULT_RESPONSE_BYTES (2ull << 30)
#define DEFAULT_RATE           100000 /* per 1,000 s: 100 a second */
#define ONE_REQUEST            1000u  /* thousandths in the bucket */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value ? value : otherwise;
}

/* One second's worth, and never less than one request. */
static uint64_t bucket_size(const Budget *budget)
{
    return budget->limit.per_kilosecond > ONE_REQUEST ? budget->limit.per_kilosecond : ONE_REQUEST;
}

void budget_init(Budget *budget, const PolicyBudget *limit, uint64_t run_time, int64_t now)
{
    *budget = (Budget){
        .limit = {.requests = or_default(limit->requests, DEFAULT_REQUESTS),
                  .request_bytes = or_default(limit->request_bytes, DEFAULT_REQUEST_BYTES),
                  .response_bytes = or_default(limit->response_bytes, DEFAULT_RESPONSE_BYTES),
                  .per_kilosecond = or_default(limit->per_kilosecond, DEFAULT_RATE),
                  .time = limit->time && limit->time < run_time ? limit->time : run_time,
                  .graphql_cost = or_default(limit->graphql_cost, UINT64_MAX)},
        .bucket_at = now,
    };
    budget->bucket = bucket_size(budget);
    uint64_t most = (uint64_t)INT64_MAX - (uint64_t)(now > 0 ? now : 0);
    budget->expires = now + (int64_t)(budget->limit.time < most ? budget->limit.time : most);
}

/* per_kilosecond requests per 1,000 s are per_kilosecond thousandths of a request per second. */
static void refill(Budget *budget, int64_t now)
{
    uint64_t passed = now > budget->bucket_at ? (uint64_t)(now - budget->bucket_at) : 0, gained;
    uint64_t rate = budget->limit.per_kilosecond, missing = bucket_size(budget) - budget->bucket;
    if (__builtin_mul_overflow(passed, rate, &gained) || gained / 1000000 >= missing) {
        budget->bucket = bucket_size(budget);
        budget->bucket_at = now > budget->bucket_at ? now : budget->bucket_at;
        return;
    }
    gained /= 1000000;
    if (gained == 0)
        return;
    budget->bucket += gained; /* what it took, rounded up: over many refills never more than the rate */
    budget->bucket_at += (int64_t)((gained * 1000000 + rate - 1) / rate);
}

int budget_spend_request(Budget *budget, bool graphql, int64_t now, uint64_t *ret_retry_us)
{
    if (budget->revoked)
        return BUDGET_E_REVOKED;
    if (now >= budget->expires)
        return BUDGET_E_EXPIRED;
    if (budget->requests >= budget->limit.requests)
        return BUDGET_E_REQUESTS;
    if (graphql && budget->graphql_cost >= budget->limit.graphql_cost)
        return BUDGET_E_COST;
    refill(budget, now);
    if (budget->bucket < ONE_REQUEST) {
        uint64_t missing = ONE_REQUEST - budget->bucket;
        *ret_retry_us = (missing * 1000000 + budget->limit.per_kilosecond - 1) / budget->limit.per_kilosecond;
        return BUDGET_E_RATE;
    }
    budget->bucket -= ONE_REQUEST;
    budget->requests++;
    return 0;
}

void budget_return_request(Budget *budget)
{
    budget->bucket += ONE_REQUEST;
    budget->requests--;
}

void budget_spend_cost(Budget *budget, uint64_t cost)
{
    if (__builtin_add_overflow(budget->graphql_cost, cost, &budget->graphql_cost))
        budget->graphql_cost = UINT64_MAX;
    if (cost > budget->dearest)
        budget->dearest = cost;
}

void budget_spend_untold(Budget *budget)
{
    budget_spend_cost(budget, budget->dearest ? budget->dearest : 1);
}

static int spend(uint64_t *spent, uint64_t limit, uint64_t bytes, int error)
{
    if (bytes > limit - *spent)
        return error;
    *spent += bytes;
    return 0;
}

int budget_spend_sent(Budget *budget, uint64_t bytes)
{
    return spend(&budget->request_bytes, budget->limit.request_bytes, bytes, BUDGET_E_REQUEST_BYTES);
}

int budget_spend_received(Budget *budget, uint64_t bytes)
{
    return spend(&budget->response_bytes, budget->limit.response_bytes, bytes, BUDGET_E_RESPONSE_BYTES);
}

const char *budget_error_text(int error)
{
    switch (error) {
    case BUDGET_E_EXPIRED:
        return "the lease has expired";
    case BUDGET_E_REVOKED:
        return "the lease was revoked";
    case BUDGET_E_REQUESTS:
        return "the lease's request budget is used up";
    case BUDGET_E_REQUEST_BYTES:
        return "the lease's budget of bytes sent is used up";
    case BUDGET_E_RESPONSE_BYTES:
        return "the lease's budget of bytes received is used up";
    case BUDGET_E_RATE:
        return "the lease's rate is exceeded";
    case BUDGET_E_COST:
        return "the lease's budget of GraphQL cost is used up";
    default:
        return "the lease's budget is sound";
    }
}
