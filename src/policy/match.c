/* Deciding a request against a policy: pure, no allocation, time bounded by rules times segments. The keeper
 * calls this for every request; policy.h has the language. What the two lists make of a trailing slash, of a
 * suffix and of letter case differs on purpose: `allow` is byte for byte, `deny` errs on the side of denying,
 * because a server that treats "/secrets/", "/secrets.json" or "/Secrets" like "/secrets" must not turn a
 * spelling into a way around a rule. */
#include "policy/policy.h"

#include "http/head.h"

/* The segments of a path, one at a time: "/a/b/" has "a", "b" and an empty one. */
typedef struct Segments {
    Slice rest; /* begins with '/', or empty: no more */
} Segments;

static bool segment_next(Segments *at, Slice *ret_segment)
{
    if (at->rest.len == 0)
        return false;
    const char *from = at->rest.ptr + 1;
    size_t left = at->rest.len - 1;
    const char *slash = memchr(from, '/', left);
    size_t len = slash ? (size_t)(slash - from) : left;
    *ret_segment = (Slice){from, len};
    at->rest = (Slice){from + len, left - len};
    return true;
}

static bool match_path(const char *pattern, Slice path, bool nocase)
{
    Segments want = {slice_of(pattern)}, have = {path};
    Slice p, s;
    while (segment_next(&want, &p)) {
        if (!segment_next(&have, &s))
            return false;
        if (slice_is(p, "**"))
            return s.len > 0;
        if (slice_is(p, "*") ? s.len == 0 : !(nocase ? slice_equal_nocase(p, s) : slice_equal(p, s)))
            return false;
    }
    return have.rest.len == 0;
}

bool policy_path_matches(const char *pattern, Slice path)
{
    return path.len && path.ptr[0] == '/' && match_path(pattern, path, false);
}

/* Without what the last segment has behind its last point ("/secrets.json"). */
static Slice without_suffix(Slice path)
{
    size_t n = path.len;
    while (n > 0 && path.ptr[n - 1] != '.' && path.ptr[n - 1] != '/')
        n--;
    bool suffix = n > 1 && path.ptr[n - 1] == '.' && path.ptr[n - 2] != '/';
    return suffix ? (Slice){path.ptr, n - 1} : path;
}

static bool match_deny(const PolicyRule *rule, Slice path)
{
    Slice bare = path;
    if (bare.len > 1 && bare.ptr[bare.len - 1] == '/')
        bare.len--;
    return match_path(rule->path, path, true) || match_path(rule->path, bare, true) ||
           match_path(rule->path, without_suffix(bare), true);
}

static bool match_rule(const PolicyRule *rule, uint32_t method, Slice host, Slice path)
{
    if (rule->graphql || !slice_is(host, rule->host))
        return false;
    if (rule->deny)
        return (rule->methods == 0 || (rule->methods & method)) && match_deny(rule, path);
    return (rule->methods & method) && match_path(rule->path, path, false);
}

PolicyVerdict policy_decide(const Policy *policy, uint32_t method, Slice host, Slice path)
{
    PolicyVerdict verdict = {POLICY_NOT_NAMED, -1};
    if (path.len == 0 || path.ptr[0] != '/')
        return verdict;
    for (size_t i = 0; i < policy->n_rule; i++) {
        const PolicyRule *rule = &policy->rule[i];
        if (!rule->deny && verdict.answer == POLICY_ALLOW)
            continue;
        if (!match_rule(rule, method, host, path))
            continue;
        verdict = (PolicyVerdict){rule->deny ? POLICY_DENY : POLICY_ALLOW, (int32_t)i};
        if (rule->deny)
            break;
    }
    return verdict;
}
