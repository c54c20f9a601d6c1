/* The decision on one request. See decide.h. */
#include "keeper/decide.h"

#include "base/text.h"
#include "http/credential.h"
#include "http/target.h"
#include "policy/graphql-rule.h"

#include <stdio.h>

#define GRAPHQL_KIND 1 /* every GraphQL request is counted alike */
#define MAX_METHODS  8 /* the request's own and what it says in overrides */

static const char *const override_headers[] = {"X-HTTP-Method-Override", "X-HTTP-Method",
                                               "X-Method-Override"};

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
        if (http_is_method_parameter(name) && n < MAX_METHODS)
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

typedef int Normalise(Slice raw, Target *ret_target, Fault *fault);

/* What was matched is what is sent: the gate's target is in the one form, or refused. */
static bool check_form(const StreamRequest *request, Normalise *normalise, Refused *refused)
{
    static Target again; /* 8 kB: off the stack; the keeper has one thread of its own code */
    Fault fault;
    if (normalise(request->target, &again, &fault) != 0)
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

/* What a provider counts alike, as far as can be told beforehand: by the rule that allows it, its host, and
 * the first two parts of the path ("/search/code", "/repos/acme"). FNV-1a. */
static uint32_t kind_of(const char *rule_path, uint32_t host, Slice path)
{
    uint32_t hash = (2166136261u ^ host) * 16777619u;
    for (const char *at = rule_path; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (size_t i = 0, parts = 0; i < path.len; i++) {
        parts += path.ptr[i] == '/';
        if (parts == 3)
            break;
        hash = (hash ^ (unsigned char)path.ptr[i]) * 16777619u;
    }
    return hash;
}

/* What the rules of all its methods bound of the answer, and how the first one's is counted. */
static void take_rule(const PolicyRule *rule, bool first, uint32_t host, Slice path, Decided *decided)
{
    if (first)
        decided->kind = kind_of(rule->path, host, path);
    if (rule->shape.response_bytes &&
        (!decided->response_bytes || rule->shape.response_bytes < decided->response_bytes)) {
        decided->response_bytes = rule->shape.response_bytes;
        decided->bounded_by = rule->line;
    }
}

static bool is_watched(const DecideRequest *decide, const Grant *grant)
{
    return decide->wall < grant->audit_until;
}

/* What `mode: audit` lets pass: by every method that it may be taken for it changes nothing. */
static bool is_safe(const uint32_t *method, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(method[i] & (HTTP_GET | HTTP_HEAD)))
            return false;
    return true;
}

/* Fills in what the caveats will ask about. */
static bool check_rules(const DecideRequest *decide, const Grant *grant, CaveatUse *use, Decided *decided,
                        Refused *refused)
{
    const StreamRequest *request = decide->request;
    uint32_t method[MAX_METHODS];
    size_t n = 0;
    if (use->graphql) {
        use->methods = request->method;
        use->operations = GRAPHQL_QUERY | GRAPHQL_MUTATION | GRAPHQL_SUBSCRIPTION;
        decided->kind = GRAPHQL_KIND;
        return check_graphql_path(request, grant->origin, refused);
    }
    if (!find_path(request, grant->origin, &use->path, refused) ||
        !gather_methods(decide, query_of(request), method, &n, refused))
        return false;
    PolicyRequest asked = {.host = host_of_rules(request, grant->origin),
                           .path = use->path,
                           .query = query_of(request),
                           .header = decide->head->header,
                           .n_header = decide->head->n_header,
                           .has_body = request->has_body};
    for (size_t i = 0; i < n; i++) {
        asked.method = method[i];
        PolicyVerdict verdict = policy_decide(grant->policy, &asked);
        decided->rule = rule_line(grant, verdict.rule);
        use->methods |= method[i];
        if (verdict.answer == POLICY_ALLOW) {
            take_rule(&grant->policy->rule[verdict.rule], i == 0, request->host, use->path, decided);
            continue;
        }
        bool passes = verdict.answer == POLICY_NOT_NAMED && is_watched(decide, grant) && is_safe(method, n);
        Refused *said = passes ? &decided->would : refused;
        said->refusal = verdict.answer == POLICY_DENY ? REFUSAL_PATH_DENIED : REFUSAL_PATH_NOT_ALLOWED;
        said->retry_after = 0;
        policy_explain(grant->policy, &verdict, http_method_text(method[i]), &asked, &said->fault);
        if (!passes)
            return false;
        decided->kind = kind_of("", request->host, use->path);
    }
    return true;
}

static bool check_source(const DecideRequest *decide, const Grant *grant, Refused *refused)
{
    return grant->source == decide->request->source ||
           refused_set(refused, REFUSAL_WRONG_SOURCE,
                       "the lease is for the source %s: each source has a lease of its own",
                       grant->origin->name);
}

static bool check_policy(const DecideRequest *decide, const Grant *grant, CaveatUse *use, Decided *decided,
                         Refused *refused)
{
    const StreamRequest *request = decide->request;
    return check_method(request->method, request->method_text, refused) &&
           check_host(request, grant->origin, refused) &&
           check_form(request,
                      source_takes_slashes(grant->origin, request->host) ? target_normalise_slashes
                                                                         : target_normalise,
                      refused) &&
           check_rules(decide, grant, use, decided, refused);
}

static bool check_leased(const DecideRequest *decide, Decided *decided, Refused *refused)
{
    static Presented presented; /* 5 kB: off the stack; the keeper has one thread of its own code */
    const StreamRequest *request = decide->request;
    bool lives = decide_lease(decide, &presented, refused);
    Grant *grant = decided->grant = presented.grant;
    if (grant)
        grant->seen = true;
    if (!lives || !check_source(decide, grant, refused))
        return false;
    CaveatUse use = {.wall = decide->wall, .path = {"", 0}};
    use.graphql = decided->graphql = decide_is_graphql(request, grant->origin);
    if (!check_policy(decide, grant, &use, decided, refused))
        return false;
    use.host = source_origin(grant->origin, request->host)->host;
    if (presented.narrowing.n)
        decided->narrowing = presented.narrowing;
    bool yes = decide_caveats(&presented, &use, refused);
    decided->operations = use.operations;
    return yes;
}

/* A file that the API has just redirected this run to: no lease, since no token goes with it. Whose it is,
 * and on which host of its source it lies, the redirect says. */
static bool check_artifact(const DecideRequest *decide, Decided *decided, Refused *refused)
{
    const StreamRequest *request = decide->request;
    char name[254];
    snprintf(name, sizeof(name), "%.*s", (int)request->host_name.len, request->host_name.ptr);
    uint32_t overridden;
    if (!check_form(request, target_normalise_whole, refused))
        return false;
    if (http_has_method_override(decide->head, &overridden))
        return refused_set(refused, REFUSAL_METHOD,
                           "files at %s are fetched by GET alone: no header overrides it", name);
    const Redirect *redirect = redirect_find(decide->redirects, name, request->target, decide->now);
    Grant *grant = redirect && redirect->grant < decide->n_grant ? &decide->grant[redirect->grant] : NULL;
    decided->grant = grant;
    for (uint32_t i = 0; grant && i < source_hosts(grant->origin); i++)
        if (source_use(grant->origin, i) == HOST_ARTIFACT &&
            host_matches(source_origin(grant->origin, i)->host, request->host_name)) {
            decided->host = i;
            if (redirect->narrowing)
                decided->narrowing = *redirect->narrowing;
            if (request->method != HTTP_GET || request->has_body)
                return refused_set(refused, REFUSAL_METHOD, "files at %s are fetched by GET alone", name);
            return decide_alive(decide, grant, &decided->narrowing, refused);
        }
    return refused_set(
        refused, REFUSAL_NOT_REDIRECTED,
        "%s is where the API redirects to for files: only the exact address that it has redirected this "
        "run to within ten minutes may be fetched, without a token",
        name);
}

bool decide_request(const DecideRequest *decide, Decided *ret_decided, Refused *ret_refused)
{
    ret_decided->grant = NULL;
    ret_decided->host = decide->request->host;
    ret_decided->narrowing.n = 0;
    ret_decided->ticket = (LimitsTicket){0};
    ret_decided->graphql = false;
    ret_decided->rule = 0;
    ret_decided->response_bytes = 0;
    ret_decided->would.refusal = REFUSAL_NONE;
    return (decide->artifact ? check_artifact : check_leased)(decide, ret_decided, ret_refused) &&
           decide_spend(decide, ret_decided, ret_refused);
}

bool decide_answer(const Decided *decided, uint64_t received, Refused *ret_refused)
{
    char most[24];
    return !decided->response_bytes || received <= decided->response_bytes ||
           refused_set(ret_refused, REFUSAL_ANSWER_TOO_LARGE,
                       "the answer is longer than the %s that policy %s, line %u, has as responseBytes: ask "
                       "for less at a time (fewer items a page), or raise it there",
                       text_human_size(most, decided->response_bytes), decided->grant->policy->name,
                       decided->bounded_by);
}

bool decide_graphql(const DecideRequest *decide, Decided *decided, const GraphqlChosen *chosen,
                    Refused *ret_refused)
{
    const Grant *grant = decided->grant;
    if (!decide_alive(decide, grant, &decided->narrowing, ret_refused))
        return false;
    PolicyGraphqlVerdict verdict = policy_decide_graphql(grant->policy, chosen);
    uint32_t type = chosen->operation->type;
    bool allowed = verdict.answer == POLICY_ALLOW;
    if (verdict.answer != POLICY_NOT_NAMED) /* the rule that came nearest has decided nothing */
        decided->rule = rule_line(grant, verdict.rule);
    if (!allowed && type == GRAPHQL_QUERY && verdict.why != POLICY_GRAPHQL_DENIED &&
        is_watched(decide, grant)) {
        allowed = true;
        decided->would.refusal = REFUSAL_GRAPHQL_DENIED;
        policy_explain_graphql(grant->policy, &verdict, chosen, &decided->would.fault);
    }
    if (allowed)
        return (type & decided->operations) ||
               refused_set(ret_refused, REFUSAL_NARROWED,
                           "the lease was narrowed to other GraphQL operations than a %s",
                           graphql_type_text(type));
    ret_refused->refusal = REFUSAL_GRAPHQL_DENIED;
    ret_refused->retry_after = 0;
    policy_explain_graphql(grant->policy, &verdict, chosen, &ret_refused->fault);
    return false;
}
