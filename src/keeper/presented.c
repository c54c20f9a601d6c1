/* The lease that a request presents: whose it is, what it was narrowed to, whether it still lives. See
 * decide.h.
 */
#include "http/credential.h"
#include "keeper/decide.h"
#include "secret/secret.h"

static Grant *find_grant(const DecideRequest *decide, const unsigned char id[LEASE_ID])
{
    for (size_t i = 0; i < decide->n_grant; i++)
        if (memcmp(decide->grant[i].id, id, LEASE_ID) == 0) /* not secret: the tag is, and was checked */
            return &decide->grant[i];
    return NULL;
}

static bool verify(const DecideRequest *decide, Presented *presented, Refused *refused)
{
    Slice credential = decide->request->credential;
    if (credential.len == 0)
        return refused_set(
            refused, REFUSAL_NO_LEASE,
            "the request carries no credential: send the lease from the token's usual variable");
    if (!lease_is_lease(credential))
        return refused_set(
            refused, REFUSAL_NOT_A_LEASE,
            "the request carries a credential that is not a lease of purser's: use the value that the "
            "run has in the token's usual variable, and take the real token out of the script");
    int r = lease_verify(decide->key, credential, &presented->claims);
    if (r == LEASE_E_FORMAT)
        return refused_set(refused, REFUSAL_NOT_A_LEASE,
                           "the lease is damaged: use it as it stands in the variable");
    presented->grant = r == 0 ? find_grant(decide, presented->claims.id) : NULL;
    if (presented->grant)
        return true;
    return refused_set(refused, REFUSAL_FOREIGN_LEASE,
                       "the lease belongs to another run: use the one that this run has in its environment");
}

/* All of them, before any is asked: one that cannot be understood refuses everything. */
static bool read_caveats(Presented *presented, Refused *refused)
{
    Narrowing *narrowing = &presented->narrowing;
    narrowing->n = presented->claims.n_caveat;
    narrowing->expires = INT64_MAX;
    for (size_t i = 0; i < narrowing->n; i++) {
        Caveat *caveat = &presented->caveat[i];
        if (caveat_parse(presented->claims.caveat[i], caveat) != 0)
            return refused_set(refused, REFUSAL_CAVEAT,
                               "the lease has a caveat that purser does not know: '%s'",
                               presented->claims.caveat[i]);
        narrowing->place[i] = presented->claims.place[i];
        narrowing->requests[i] = caveat->word == CAVEAT_REQUESTS ? caveat->number : NARROWED_NO_LIMIT;
        if (caveat->word == CAVEAT_EXPIRES && caveat->expires < narrowing->expires)
            narrowing->expires = caveat->expires;
        narrowing->bytes[i] = caveat->word == CAVEAT_BYTES ? caveat->number : NARROWED_NO_LIMIT;
    }
    return true;
}

bool decide_alive(const DecideRequest *decide, const Grant *grant, const Narrowing *narrowing,
                  Refused *ret_refused)
{
    if (grant->budget.revoked)
        return refused_set(ret_refused, REFUSAL_REVOKED, "the lease was revoked");
    if (narrowing->n && narrowed_is_revoked(decide->narrowed, narrowing))
        return refused_set(ret_refused, REFUSAL_REVOKED,
                           "the lease was revoked, or one that it was narrowed from");
    if (decide->now >= grant->budget.expires)
        return refused_set(
            ret_refused, REFUSAL_EXPIRED,
            "the lease has expired: a lease lives as long as its run's time limit or its policy says");
    return narrowing->n == 0 || decide->wall < narrowing->expires ||
           refused_set(ret_refused, REFUSAL_EXPIRED, "the time that the lease was narrowed to is over");
}

bool decide_lease(const DecideRequest *decide, Presented *ret_presented, Refused *ret_refused)
{
    ret_presented->grant = NULL;
    if (!verify(decide, ret_presented, ret_refused))
        return false;
    Grant *grant = ret_presented->grant;
    return read_caveats(ret_presented, ret_refused) &&
           decide_alive(decide, grant, &ret_presented->narrowing, ret_refused);
}

bool decide_caveats(const Presented *presented, CaveatUse *use, Refused *ret_refused)
{
    for (size_t i = 0; i < presented->narrowing.n; i++) {
        const Caveat *caveat = &presented->caveat[i];
        if (caveat->word == CAVEAT_GRAPHQL && use->graphql)
            use->operations &= caveat->set;
        if (caveat->word == CAVEAT_GRAPHQL && use->graphql ? use->operations != 0
                                                           : caveat_allows(caveat, use))
            continue;
        return refused_set(ret_refused, REFUSAL_NARROWED,
                           "the lease was narrowed to '%s', and this request is none of that",
                           presented->claims.caveat[i]);
    }
    return true;
}
