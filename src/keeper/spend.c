/* What a request spends: of its lease, of what that was narrowed to, of its source. See decide.h. */
#include "keeper/decide.h"

bool decide_budget(int result, uint64_t retry_us, Refused *ret_refused)
{
    static const Refusal refusals[] = {
        [BUDGET_E_EXPIRED] = REFUSAL_EXPIRED,
        [BUDGET_E_REVOKED] = REFUSAL_REVOKED,
        [BUDGET_E_REQUESTS] = REFUSAL_REQUESTS,
        [BUDGET_E_REQUEST_BYTES] = REFUSAL_REQUEST_BYTES,
        [BUDGET_E_RESPONSE_BYTES] = REFUSAL_RESPONSE_BYTES,
        [BUDGET_E_RATE] = REFUSAL_RATE,
        [BUDGET_E_COST] = REFUSAL_COST,
    };
    if (result == 0)
        return true;
    Refusal refusal = result > 0 && result < (int)COUNT_OF(refusals) ? refusals[result] : REFUSAL_INTERNAL;
    if (refusal == REFUSAL_RATE) {
        refused_set(ret_refused, refusal, "%s; try again in a moment, or raise `rate` in the policy",
                    budget_error_text(result));
        return refused_retry(ret_refused, retry_us);
    }
    return refused_set(ret_refused, refusal, "%s; the policy's `lease:` sets it", budget_error_text(result));
}

bool decide_narrowed(int result, Refused *ret_refused)
{
    switch (result) {
    case 0:
        return true;
    case NARROWED_E_REQUESTS:
        return refused_set(ret_refused, REFUSAL_REQUESTS,
                           "the requests that the lease was narrowed to are used up");
    case NARROWED_E_BYTES:
        return refused_set(ret_refused, REFUSAL_RESPONSE_BYTES,
                           "the bytes of answers that the lease was narrowed to are used up");
    default:
        return refused_set(ret_refused, REFUSAL_NARROWED_FULL,
                           "this run has more than %d narrowed leases with budgets of their own: narrow by "
                           "something else, or revoke one that such leases were narrowed from",
                           NARROWED_MAX);
    }
}

static bool ask_limits(const DecideRequest *decide, Decided *decided, Refused *refused)
{
    const Grant *grant = decided->grant;
    const Limit *limit = NULL;
    const char *source = grant->origin->name;
    uint64_t retry_us;
    if (!grant->limits || decide->artifact) /* a storage is not what the provider counts */
        return true;
    int r = limits_ask(grant->limits, decided->kind, decide->now, &decided->ticket, &limit, &retry_us);
    if (r == 0)
        return true;
    const char *name = limit && limit->name[0] ? limit->name : "its rate limit";
    if (r == LIMITS_E_PAUSED)
        refused_set(refused, REFUSAL_UPSTREAM_LIMIT,
                    "the provider of source %s has asked to wait, so it is not asked again until then",
                    source);
    else if (r == LIMITS_E_NONE_LEFT)
        refused_set(refused, REFUSAL_UPSTREAM_LIMIT,
                    "the provider of source %s has nothing left of %s until it is reset, so it is not asked",
                    source, name);
    else
        refused_set(refused, REFUSAL_SOURCE_RESERVE,
                    "what is left of %s of source %s is reserved for people until it is reset; `reserve` of "
                    "the source sets how much",
                    name, source);
    return refused_retry(refused, retry_us);
}

static bool spend_narrowed(const DecideRequest *decide, const Decided *decided, Refused *refused)
{
    size_t at;
    if (decided->narrowing.n == 0)
        return true;
    return decide_narrowed(narrowed_spend_request(decide->narrowed, &decided->narrowing, &at), refused);
}

static bool spend_budget(const DecideRequest *decide, const Decided *decided, Refused *refused)
{
    uint64_t retry_us = 0;
    int r = budget_spend_request(&decided->grant->budget, decided->graphql, decide->now, &retry_us);
    return decide_budget(r, retry_us, refused);
}

static bool spend_share(const DecideRequest *decide, Grant *grant, Refused *refused)
{
    uint64_t retry_us = 0;
    if (!grant->share || decide->artifact ||
        share_spend(grant->share, &grant->member, decide->now, &retry_us) == 0)
        return true;
    refused_set(
        refused, REFUSAL_SOURCE_RATE,
        "source %s is asked more often than its `rate`, which its leases share: try again in a moment",
        grant->origin->name);
    return refused_retry(refused, retry_us);
}

/* What one refuses, the others have not given. */
bool decide_spend(const DecideRequest *decide, Decided *decided, Refused *ret_refused)
{
    Grant *grant = decided->grant;
    if (!ask_limits(decide, decided, ret_refused))
        return false;
    if (spend_narrowed(decide, decided, ret_refused)) {
        if (spend_budget(decide, decided, ret_refused)) {
            if (spend_share(decide, grant, ret_refused))
                return true;
            budget_return_request(&grant->budget);
        }
        if (decided->narrowing.n)
            narrowed_return_request(decide->narrowed, &decided->narrowing);
    }
    if (decided->ticket.limit)
        limits_end(grant->limits, &decided->ticket);
    return false;
}
