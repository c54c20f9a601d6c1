/* The decision on one request. See decide.h. */
#include "keeper/decide.h"

#include "base/clock.h"
#include "http/credential.h"
#include "http/target.h"
#include "secret/secret.h"

#define MAX_METHODS 8 /* the request's own and what it says in overrides */

static const char *const override_headers[] = {"X-HTTP-Method-Override", "X-HTTP-Method",
                                               "X-Method-Override"};

static Grant *find_grant(const DecideRequest *decide, const unsigned char id[LEASE_ID])
{
    for (size_t i = 0; i < decide->n_grant; i++)
        if (memcmp(decide->grant[i].id, id, LEASE_ID) == 0) /* not secret: the tag is, and was checked */
            return &decide->grant[i];
    return NULL;
}

static bool check_lease(const DecideRequest *decide, Grant **ret_grant, Refused *refused)
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
    LeaseClaims claims;
    int r = lease_verify(decide->key, credential, &claims);
    if (r == LEASE_E_FORMAT)
        return refused_set(refused, REFUSAL_NOT_A_LEASE,
                           "the lease is damaged: use it as it stands in the variable");
    Grant *grant = r == 0 ? find_grant(decide, claims.id) : NULL;
    if (!grant)
        return refused_set(
            refused, REFUSAL_FOREIGN_LEASE,
            "the lease belongs to another run: use the one that this run has in its environment");
    grant->seen = true;
    *ret_grant = grant;
    if (grant->source != decide->request->source)
        return refused_set(refused, REFUSAL_WRONG_SOURCE,
                           "the lease is for the source %s: each source has a lease of its own",
                           grant->origin->name);
    if (claims.n_caveat)
        return refused_set(refused, REFUSAL_CAVEAT, "the lease has a caveat that purser does not know: '%s'",
                           claims.caveat[0]);
    if (grant->budget.revoked)
        return refused_set(refused, REFUSAL_REVOKED, "the lease was revoked: its run has ended");
    if (decide->now >= grant->budget.expires)
        return refused_set(
            refused, REFUSAL_EXPIRED,
            "the lease has expired: a lease lives as long as its run's time limit or its policy says");
    return true;
}

static bool check_method(uint32_t method, Slice text, Refused *refused)
{
    const uint32_t carried = HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_PUT | HTTP_PATCH | HTTP_DELETE;
    if (method & carried && (method & (method - 1)) == 0)
        return true;
    return refused_set(refused, REFUSAL_METHOD, "purser puts no credential on a %.*s request",
                       (int)(text.len < 32 ? text.len : 32), text.ptr);
}

/* The methods that a server behind may take this request for. */
static bool gather_methods(const DecideRequest *decide, Slice query, uint32_t method[MAX_METHODS],
                           size_t *ret_n, Refused *refused)
{
    size_t n = 0;
    method[n++] = decide->request->method;
    const HttpHead *head = decide->head;
    for (size_t i = 0; i < head->n_header; i++)
        for (size_t k = 0; k < COUNT_OF(override_headers); k++)
            if (slice_is_nocase(head->header[i].name, override_headers[k]) && n < MAX_METHODS)
                method[n++] = http_method(head->header[i].value);
    Slice rest = query;
    while (rest.len) {
        Slice pair, name, value;
        slice_cut(rest, '&', &pair, &rest);
        slice_cut(pair, '=', &name, &value);
        if (slice_is_nocase(name, "_method") && n < MAX_METHODS)
            method[n++] = http_method(value);
    }
    for (size_t i = 0; i < n; i++)
        if (!check_method(method[i], i ? SLICE_LITERAL("method-override") : decide->request->method_text,
                          refused))
            return false;
    if (n == MAX_METHODS)
        return refused_set(refused, REFUSAL_METHOD, "the request overrides its method too many times");
    *ret_n = n;
    return true;
}

/* The path that graphql_url has at this origin, or an empty slice. */
static Slice graphql_path(const Source *source)
{
    Slice url = slice_of(source->graphql_url);
    const char *scheme = url.len ? memmem(url.ptr, url.len, "://", 3) : NULL;
    if (!scheme)
        return url;
    const char *host = scheme + 3, *path = memchr(host, '/', (size_t)(url.ptr + url.len - host));
    size_t host_len = strlen(source->api.host);
    if (!path || strncasecmp(host, source->api.host, host_len) != 0 ||
        (host[host_len] != '/' && host[host_len] != ':'))
        return (Slice){"", 0};
    return (Slice){path, (size_t)(url.ptr + url.len - path)};
}

static Slice without_slash(Slice path)
{
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static bool check_target(const DecideRequest *decide, const Source *source, Slice *ret_path, Slice *ret_query,
                         Refused *refused)
{
    static Target again; /* 8 kB: off the stack; the keeper has one thread of its own code */
    const StreamRequest *request = decide->request;
    Fault fault;
    if (target_normalise(request->target, &again, &fault) != 0)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "%s", fault.text);
    if (!slice_equal((Slice){again.text, again.len}, request->target) || again.path_len != request->path_len)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's target was not in its normal form");
    Slice path = {request->target.ptr, request->path_len};
    Slice query = {path.ptr + path.len, request->target.len - path.len};
    if (query.len)
        query.ptr++, query.len--;
    Slice graphql = graphql_path(source);
    if (graphql.len && slice_equal_nocase(without_slash(path), without_slash(graphql)))
        return refused_set(refused, REFUSAL_GRAPHQL,
                           "GraphQL is not yet decided by purser: use the REST API of source %s",
                           source->name);
    size_t base = strlen(source->api.base);
    /* not secret */
    if (base && (path.len < base || memcmp(path.ptr, source->api.base, base) != 0 ||
                 (path.len > base && path.ptr[base] != '/')))
        return refused_set(refused, REFUSAL_PATH_NOT_ALLOWED,
                           "source %s has its API beneath %s: %.*s is outside of it", source->name,
                           source->api.base, (int)(path.len < 256 ? path.len : 256), path.ptr);
    *ret_path = path.len > base ? (Slice){path.ptr + base, path.len - base} : SLICE_LITERAL("/");
    *ret_query = query;
    return true;
}

static bool check_policy(const DecideRequest *decide, const Grant *grant, Refused *refused)
{
    Slice path = {"", 0}, query = {"", 0};
    uint32_t method[MAX_METHODS];
    size_t n = 0;
    if (!check_method(decide->request->method, decide->request->method_text, refused) ||
        !check_target(decide, grant->origin, &path, &query, refused) ||
        !gather_methods(decide, query, method, &n, refused))
        return false;
    for (size_t i = 0; i < n; i++) {
        PolicyVerdict verdict = policy_decide(grant->policy, method[i], SLICE_LITERAL(""), path);
        if (verdict.answer == POLICY_ALLOW)
            continue;
        refused->refusal = verdict.answer == POLICY_DENY ? REFUSAL_PATH_DENIED : REFUSAL_PATH_NOT_ALLOWED;
        refused->retry_after = 0;
        policy_explain(grant->policy, verdict, http_method_text(method[i]), path, &refused->fault);
        return false;
    }
    return true;
}

bool decide_budget(int result, uint64_t retry_us, Refused *ret_refused)
{
    static const Refusal refusals[] = {
        [BUDGET_E_EXPIRED] = REFUSAL_EXPIRED,
        [BUDGET_E_REVOKED] = REFUSAL_REVOKED,
        [BUDGET_E_REQUESTS] = REFUSAL_REQUESTS,
        [BUDGET_E_REQUEST_BYTES] = REFUSAL_REQUEST_BYTES,
        [BUDGET_E_RESPONSE_BYTES] = REFUSAL_RESPONSE_BYTES,
        [BUDGET_E_RATE] = REFUSAL_RATE,
    };
    if (result == 0)
        return true;
    Refusal refusal = result > 0 && result < (int)COUNT_OF(refusals) ? refusals[result] : REFUSAL_INTERNAL;
    if (refusal == REFUSAL_RATE) {
        refused_set(ret_refused, refusal, "%s; try again in a moment, or raise `rate` in the policy",
                    budget_error_text(result));
        ret_refused->retry_after = (uint32_t)((retry_us + CLOCK_SECOND - 1) / CLOCK_SECOND);
        if (ret_refused->retry_after == 0)
            ret_refused->retry_after = 1;
        return false;
    }
    return refused_set(ret_refused, refusal, "%s; the policy's `lease:` sets it", budget_error_text(result));
}

bool decide_request(const DecideRequest *decide, Grant **ret_grant, Refused *ret_refused)
{
    *ret_grant = NULL;
    if (!check_lease(decide, ret_grant, ret_refused) || !check_policy(decide, *ret_grant, ret_refused))
        return false;
    uint64_t retry_us = 0;
    int r = budget_spend_request(&(*ret_grant)->budget, decide->now, &retry_us);
    return decide_budget(r, retry_us, ret_refused);
}
