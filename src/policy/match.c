/* Deciding a request against a policy: pure, no allocation. The keeper calls this for every request; policy.h
 * has the language. What the two lists make of a trailing slash, of a suffix and of letter case
 * differs on purpose: `allow` is byte for byte, `deny` errs on the side of denying, because a server that
 * treats "/secrets/", "/secrets.json" or "/Secrets" like "/secrets" must not turn a spelling into a way
 * around a rule. The rules lie sorted by path, so that those which begin alike are neighbours: a request goes
 * down from segment to segment, each time to the neighbours that have this segment, `*` or `**` there. What
 * it comes to is asked whether it matches, as if there were no order.
 */
#include "policy/policy.h"

#include "base/mem.h"
#include "http/credential.h"
#include "http/target.h"

#include <stdlib.h>

/* Cuts the next segment off: "/a/b/" has "a", "b" and an empty one. */
static Slice next_segment(Slice *rest)
{
    const char *from = rest->ptr + 1;
    size_t left = rest->len - 1;
    const char *slash = memchr(from, '/', left);
    size_t len = slash ? (size_t)(slash - from) : left;
    *rest = (Slice){from + len, left - len};
    return (Slice){from, len};
}

bool policy_path_matches(const char *pattern, Slice path)
{
    Slice want = slice_of(pattern), have = path;
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    while (want.len) {
        if (have.len == 0)
            return false;
        Slice p = next_segment(&want), s = next_segment(&have);
        if (slice_is(p, "**"))
            return s.len > 0;
        if (slice_is(p, "*") ? s.len == 0 : !slice_equal(p, s))
            return false;
    }
    return have.len == 0;
}

/* The end of a path, then the end of a segment, then letters: so that a path stands before those that go on
 * from it. */
static int rank(char c, bool nocase)
{
    if (c == '/')
        return 1;
    if (nocase && c >= 'A' && c <= 'Z')
        c = (char)(c | 0x20);
    return c == '\0' ? 0 : (unsigned char)c + 1;
}

static int compare_paths(const char *a, const char *b, bool nocase)
{
    while (*a && rank(*a, nocase) == rank(*b, nocase))
        a++, b++;
    return rank(*a, nocase) - rank(*b, nocase);
}

static int compare_rules(const void *a, const void *b, void *context)
{
    const Policy *policy = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int r = compare_paths(policy->rule[x].path, policy->rule[y].path, policy->rule[x].deny);
    return r ? r : (x > y) - (x < y);
}

void policy_index(Policy *policy)
{
    size_t n = 0;
    mem_free(policy->order);
    policy->order = policy->n_rule ? MEM_NEW_ARRAY(uint32_t, policy->n_rule) : NULL;
    for (int deny = 0; deny < 2; deny++) {
        size_t first = n;
        for (size_t i = 0; i < policy->n_rule; i++)
            if (!policy->rule[i].graphql && policy->rule[i].deny == deny)
                policy->order[n++] = (uint32_t)i;
        *(deny ? &policy->n_deny : &policy->n_allow) = n - first;
        if (n > first)
            qsort_r(policy->order + first, n - first, sizeof(*policy->order), compare_rules, policy);
    }
}

typedef struct Asking {
    const Policy *policy;
    const PolicyRequest *request;
    const uint32_t *order;
    bool deny;
    PolicyVerdict verdict;
} Asking;

/* How a rule's segment, which begins at `at`, stands to a request's. */
static int compare_segment(const char *at, Slice want, bool nocase)
{
    for (size_t i = 0; i < want.len; i++) {
        if (at[i] == '\0' || at[i] == '/')
            return -1;
        int r = rank(at[i], nocase) - rank(want.ptr[i], nocase);
        if (r)
            return r;
    }
    return at[want.len] == '\0' || at[want.len] == '/' ? 0 : 1;
}

static const char *path_at(const Asking *asking, size_t place)
{
    return asking->policy->rule[asking->order[place]].path;
}

/* The first of the places low .. high whose segment at `from` is not before `want`, or (`past`) is behind it.
 */
static size_t find_bound(const Asking *asking, size_t low, size_t high, size_t from, Slice want, bool past)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = compare_segment(path_at(asking, middle) + from, want, asking->deny);
        if (r < 0 || (past && r == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A rule whose path matches. */
static void consider(Asking *asking, size_t place)
{
    int32_t index = (int32_t)asking->order[place];
    const PolicyRule *rule = &asking->policy->rule[index];
    PolicyVerdict *verdict = &asking->verdict;
    bool decided = verdict->answer == (asking->deny ? POLICY_DENY : POLICY_ALLOW);
    if (!slice_is(asking->request->host, rule->host) || (decided && verdict->rule < index))
        return;
    Slice what = {"", 0};
    PolicyWhy why = POLICY_WHY_METHOD;
    if ((asking->deny && rule->methods == 0) || (rule->methods & asking->request->method))
        why = policy_shape_match(&rule->shape, asking->request, &what);
    if (why == POLICY_WHY_NOTHING)
        *verdict = (PolicyVerdict){asking->deny ? POLICY_DENY : POLICY_ALLOW, index, why, index, what};
    else if (!asking->deny && verdict->answer == POLICY_NOT_NAMED &&
             (why > verdict->why || (why == verdict->why && index < verdict->near)))
        *verdict = (PolicyVerdict){POLICY_NOT_NAMED, -1, why, index, what};
}

/* The rules at low .. high have the same text up to `at`, where the request's `rest` goes on. */
static void descend(Asking *asking, size_t low, size_t high, size_t at, Slice rest)
{
    static const Slice star = {"*", 1}, stars = {"**", 2};
    for (; low < high && path_at(asking, low)[at] == '\0'; low++)
        if (rest.len == 0)
            consider(asking, low);
    if (rest.len == 0 || low == high)
        return;
    Slice segment = next_segment(&rest);
    bool is_star = slice_equal(segment, star) || slice_equal(segment, stars);
    if (!is_star) {
        size_t first = find_bound(asking, low, high, at + 1, segment, false);
        size_t end = find_bound(asking, first, high, at + 1, segment, true);
        descend(asking, first, end, at + 1 + segment.len, rest);
    }
    if (segment.len == 0)
        return;
    size_t first = find_bound(asking, low, high, at + 1, star, false);
    size_t end = find_bound(asking, first, high, at + 1, star, true);
    descend(asking, first, end, at + 2, rest);
    first = find_bound(asking, end, high, at + 1, stars, false);
    end = find_bound(asking, first, high, at + 1, stars, true);
    for (; first < end; first++)
        consider(asking, first);
}

static void ask(Asking *asking, Slice path)
{
    descend(asking, 0, asking->deny ? asking->policy->n_deny : asking->policy->n_allow, 0, path);
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

/* Also with a slash at the end, or a suffix. */
static void ask_spelt(Asking *asking, Slice path)
{
    ask(asking, path);
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        ask(asking, (Slice){path.ptr, --path.len});
    Slice bare = without_suffix(path);
    if (bare.len < path.len)
        ask(asking, bare);
}

/* And as it is to a server that takes encoded slashes for slashes. */
static void ask_deny(Asking *asking, Slice path)
{
    char decoded[HTTP_MAX_TARGET];
    size_t n = 0;
    ask_spelt(asking, path);
    if (!target_has_slashes(path) || path.len > sizeof(decoded))
        return;
    for (size_t i = 0; i < path.len; i++) {
        bool slash = i + 2 < path.len && memcmp(path.ptr + i, "%2F", 3) == 0;
        decoded[n++] = slash ? '/' : path.ptr[i];
        i += slash ? 2 : 0;
    }
    ask_spelt(asking, (Slice){decoded, n});
}

PolicyVerdict policy_decide(const Policy *policy, const PolicyRequest *request)
{
    Asking asking = {
        policy, request, policy->order, false, {POLICY_NOT_NAMED, -1, POLICY_WHY_PATH, -1, {"", 0}}};
    if (request->path.len == 0 || request->path.ptr[0] != '/')
        return asking.verdict;
    ask(&asking, request->path);
    if (policy->n_deny) {
        asking.deny = true;
        asking.order += policy->n_allow;
        ask_deny(&asking, request->path);
    }
    return asking.verdict;
}

PolicyVerdict policy_decide_overridden(const Policy *policy, PolicyRequest *request, const char **method)
{
    PolicyVerdict verdict = policy_decide(policy, request);
    for (Slice pair, name, value, rest = request->query; rest.len && verdict.answer == POLICY_ALLOW;) {
        slice_cut(rest, '&', &pair, &rest);
        slice_cut(pair, '=', &name, &value);
        if (!http_is_method_parameter(name))
            continue;
        PolicyRequest other = *request;
        other.method = http_method(value);
        PolicyVerdict said = policy_decide(policy, &other);
        if (said.answer == POLICY_ALLOW)
            continue;
        verdict = said;
        *request = other;
        *method = http_method_text(other.method);
    }
    return verdict;
}
