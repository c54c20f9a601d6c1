/* The decision on one request. See decide.h. */
#include "keeper/decide.h"

#include "base/clock.h"
#include "http/credential.h"
#include "http/target.h"
#include "policy/graphql-rule.h"
#include "secret/secret.h"

#include <stdio.h>

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

static bool check_alive(const Grant *grant, int64_t now, Refused *refused)
{
    if (grant->budget.revoked)
        return refused_set(refused, REFUSAL_REVOKED, "the lease was revoked: its run has ended");
    return now < grant->budget.expires ||
           refused_set(
               refused, REFUSAL_EXPIRED,
               "the lease has expired: a lease lives as long as its run's time limit or its policy says");
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
    grant->rule = 0;
    *ret_grant = grant;
    if (grant->source != decide->request->source)
        return refused_set(refused, REFUSAL_WRONG_SOURCE,
                           "the lease is for the source %s: each source has a lease of its own",
                           grant->origin->name);
    if (claims.n_caveat)
        return refused_set(refused, REFUSAL_CAVEAT, "the lease has a caveat that purser does not know: '%s'",
                           claims.caveat[0]);
    return check_alive(grant, decide->now, refused);
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

static Slice without_slash(Slice path)
{
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* What was matched is what is sent: the gate's target is in the one form, or refused. */
static bool check_form(const StreamRequest *request, Refused *refused)
{
    static Target again; /* 8 kB: off the stack; the keeper has one thread of its own code */
    Fault fault;
    if (target_normalise(request->target, &again, &fault) != 0)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "%s", fault.text);
    if (!slice_equal((Slice){again.text, again.len}, request->target) || again.path_len != request->path_len)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's target was not in its normal form");
    return true;
}

static Slice query_of(const StreamRequest *request)
{
    Slice query = {request->target.ptr + request->path_len, request->target.len - request->path_len};
    return query.len ? (Slice){query.ptr + 1, query.len - 1} : query;
}

/* A host that the source has, by a name that is its own or that its pattern means. */
static bool check_host(const StreamRequest *request, const Source *source, Refused *refused)
{
    if (request->host < source_hosts(source)) {
        const char *own = source_origin(source, request->host)->host;
        if (request->host_name.len ? host_matches(own, request->host_name) : own[0] != '*')
            return true;
    }
    return refused_set(refused, REFUSAL_BAD_REQUEST, "the request is for no host of source %s", source->name);
}

/* Some servers take "/graphql.json" and "/GraphQL/" for "/graphql", or hand everything beneath it to it. */
bool decide_is_graphql(const StreamRequest *request, const Source *source)
{
    Slice path = {request->target.ptr, request->path_len};
    Slice graphql = without_slash(slice_of(source->graphql_path));
    return graphql.len && request->host == source->graphql_host && path.len >= graphql.len &&
           slice_equal_nocase((Slice){path.ptr, graphql.len}, graphql) &&
           (path.len == graphql.len || path.ptr[graphql.len] == '/' || path.ptr[graphql.len] == '.');
}

/* But for a slash at its end and letter case there is one way to spell it. */
static bool check_graphql_path(const StreamRequest *request, const Source *source, Refused *refused)
{
    Slice path = without_slash((Slice){request->target.ptr, request->path_len});
    return path.len == without_slash(slice_of(source->graphql_path)).len ||
           refused_set(refused, REFUSAL_GRAPHQL_UNDECIDABLE,
                       "the GraphQL endpoint of source %s is %s, and nothing beside it", source->name,
                       source->graphql_path);
}

/* What the rules are asked about: of the API's own host the path beneath its base. */
static bool find_path(const StreamRequest *request, const Source *source, Slice *ret_path, Refused *refused)
{
    Slice path = {request->target.ptr, request->path_len}, base = slice_of(source->api.base);
    int shown = (int)(path.len < 256 ? path.len : 256);
    if (source_use(source, request->host) == HOST_GRAPHQL)
        return refused_set(refused, REFUSAL_PATH_NOT_ALLOWED,
                           "%s has nothing for source %s but its GraphQL endpoint, %s: not %.*s",
                           source_origin(source, request->host)->host, source->name, source->graphql_path,
                           shown, path.ptr);
    if (source_use(source, request->host) != HOST_API || base.len == 0) {
        *ret_path = path;
        return true;
    }
    if (!slice_starts(path, source->api.base) || (path.len > base.len && path.ptr[base.len] != '/'))
        return refused_set(refused, REFUSAL_PATH_NOT_ALLOWED,
                           "source %s has its API beneath %s: %.*s is outside of it", source->name,
                           source->api.base, shown, path.ptr);
    *ret_path = path.len > base.len ? (Slice){path.ptr + base.len, path.len - base.len} : SLICE_LITERAL("/");
    return true;
}

/* As the rules have it: the API's own host is not named. */
static Slice host_of_rules(const StreamRequest *request, const Source *source)
{
    return source_use(source, request->host) == HOST_RULE
               ? slice_of(source_origin(source, request->host)->host)
               : SLICE_LITERAL("");
}

static unsigned rule_line(const Grant *grant, int32_t rule)
{
    return rule >= 0 ? grant->policy->rule[rule].line : 0;
}

static bool check_rules(const DecideRequest *decide, Grant *grant, Refused *refused)
{
    Slice path = {"", 0};
    uint32_t method[MAX_METHODS];
    size_t n = 0;
    if (decide_is_graphql(decide->request, grant->origin))
        return check_graphql_path(decide->request, grant->origin, refused);
    if (!find_path(decide->request, grant->origin, &path, refused) ||
        !gather_methods(decide, query_of(decide->request), method, &n, refused))
        return false;
    Slice host = host_of_rules(decide->request, grant->origin);
    for (size_t i = 0; i < n; i++) {
        PolicyVerdict verdict = policy_decide(grant->policy, method[i], host, path);
        grant->rule = rule_line(grant, verdict.rule);
        if (verdict.answer == POLICY_ALLOW)
            continue;
        refused->refusal = verdict.answer == POLICY_DENY ? REFUSAL_PATH_DENIED : REFUSAL_PATH_NOT_ALLOWED;
        refused->retry_after = 0;
        policy_explain(grant->policy, verdict, http_method_text(method[i]), host, path, &refused->fault);
        return false;
    }
    return true;
}

static bool check_policy(const DecideRequest *decide, Grant *grant, Refused *refused)
{
    const StreamRequest *request = decide->request;
    return check_method(request->method, request->method_text, refused) &&
           check_host(request, grant->origin, refused) && check_form(request, refused) &&
           check_rules(decide, grant, refused);
}

/* A file that the API has just redirected this run to: no lease, since no token goes with it. Whose it is,
 * and on which host of its source it lies, the redirect says. */
static bool check_artifact(const DecideRequest *decide, Grant **ret_grant, uint32_t *ret_host,
                           Refused *refused)
{
    const StreamRequest *request = decide->request;
    char name[254];
    snprintf(name, sizeof(name), "%.*s", (int)request->host_name.len, request->host_name.ptr);
    if (!check_form(request, refused))
        return false;
    int32_t index = redirect_find(decide->redirects, name, request->target, decide->now);
    Grant *grant = index >= 0 && (size_t)index < decide->n_grant ? &decide->grant[index] : NULL;
    *ret_grant = grant;
    if (grant)
        grant->rule = 0;
    for (uint32_t i = 0; grant && i < source_hosts(grant->origin); i++)
        if (source_use(grant->origin, i) == HOST_ARTIFACT &&
            host_matches(source_origin(grant->origin, i)->host, request->host_name)) {
            *ret_host = i;
            return request->method == HTTP_GET && !request->has_body
                       ? true
                       : refused_set(refused, REFUSAL_METHOD, "files at %s are fetched by GET alone", name);
        }
    return refused_set(
        refused, REFUSAL_NOT_REDIRECTED,
        "%s is where the API redirects to for files: only the exact address that it has redirected this "
        "run to within ten minutes may be fetched, without a token",
        name);
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

bool decide_request(const DecideRequest *decide, Grant **ret_grant, uint32_t *ret_host, Refused *ret_refused)
{
    bool allowed;
    *ret_grant = NULL;
    *ret_host = decide->request->host;
    if (decide->artifact)
        allowed = check_artifact(decide, ret_grant, ret_host, ret_refused);
    else
        allowed =
            check_lease(decide, ret_grant, ret_refused) && check_policy(decide, *ret_grant, ret_refused);
    if (!allowed)
        return false;
    uint64_t retry_us = 0;
    int r = budget_spend_request(&(*ret_grant)->budget, decide->now, &retry_us);
    return decide_budget(r, retry_us, ret_refused);
}

bool decide_graphql(Grant *grant, const GraphqlChosen *chosen, int64_t now, Refused *ret_refused)
{
    if (!check_alive(grant, now, ret_refused))
        return false;
    PolicyGraphqlVerdict verdict = policy_decide_graphql(grant->policy, chosen);
    grant->rule = rule_line(grant, verdict.rule);
    if (verdict.answer == POLICY_ALLOW)
        return true;
    ret_refused->refusal = REFUSAL_GRAPHQL_DENIED;
    ret_refused->retry_after = 0;
    policy_explain_graphql(grant->policy, &verdict, chosen, &ret_refused->fault);
    return false;
}
