/* What a rule must look like (form.h), and the end of a policy's life. */
#include "policy/form.h"

#include "base/mem.h"
#include "base/text.h"
#include "http/target.h"
#include "policy/graphql-rule.h"

uint32_t policy_method(Slice text)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } method[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},
                  {"PUT", HTTP_PUT}, {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}};
    for (size_t i = 0; i < COUNT_OF(method); i++)
        if (slice_is(text, method[i].name))
            return method[i].bit;
    return 0;
}

/* One segment, already without its slashes. */
static const char *segment_problem(Slice segment, bool last)
{
    if (segment.len == 0)
        return last ? NULL : "has an empty segment (//)";
    if (slice_is(segment, ".") || slice_is(segment, ".."))
        return "has a dot segment, which no request ever has after purser normalised it";
    if (slice_is(segment, "**"))
        return last ? NULL : "has '**' before its end; it may only be the last segment";
    if (!slice_is(segment, "*") && memchr(segment.ptr, '*', segment.len))
        return "has a '*' inside a segment; '*' stands for one whole segment and '**' for all that follow";
    return NULL;
}

/* The request's path comes in one form (http/target.h); a rule written in another would never match. */
static const char *bytes_problem(Slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= ' ' || c >= 0x7F)
            return "has a byte that is not visible ASCII; write it percent-encoded";
        if (c == '?' || c == '#')
            return "has a query or a fragment; rules are about the path alone";
        if (c == ';' || c == '\\')
            return "has a ';' or a backslash, which purser refuses in every request";
    }
    return NULL;
}

static const char *form_problem(Slice path)
{
    Target target;
    if (target_normalise_slashes(path, &target, NULL))
        return "is one that purser refuses in every request";
    if (!slice_equal(target_path(&target), path))
        return "is not in the form that requests have after purser normalised them (what need not be "
               "percent-encoded is "
               "not, the rest is in upper case), so it would never match";
    return NULL;
}

const char *policy_path_problem(Slice path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return "must begin with '/'; it is relative to the source's apiUrl";
    if (path.len > POLICY_MAX_PATH)
        return "is longer than 1024 bytes";
    const char *problem = bytes_problem(path);
    size_t n = 0;
    for (Slice segment, rest = {path.ptr + 1, path.len - 1}; !problem;) {
        bool more = slice_cut(rest, '/', &segment, &rest);
        if (++n > POLICY_MAX_SEGMENTS)
            return "has more than 32 segments";
        problem = segment_problem(segment, !more);
        if (!more)
            break;
    }
    return problem ? problem : form_problem(path);
}

const char *policy_rule_problem(const PolicyRule *rule)
{
    if (rule->methods & ~(uint32_t)POLICY_METHODS)
        return "names a method that no policy can name";
    if (rule->host[0] && !text_is_host(slice_of(rule->host)))
        return "names a host that is none";
    if (rule->deny && !policy_shape_is_empty(&rule->shape))
        return "denies by more than method, host and path";
    if (rule->graphql)
        return !policy_shape_is_empty(&rule->shape) || rule->path[0] || rule->host[0] || rule->methods
                   ? "is a GraphQL rule with something of a REST rule's"
                   : policy_graphql_problem(rule->graphql, rule->deny);
    if (!rule->deny && rule->methods == 0)
        return "allows without naming a method";
    const char *problem = policy_path_problem(slice_of(rule->path));
    return problem ? problem : policy_shape_problem(&rule->shape);
}

void policy_rule_done(PolicyRule *rule)
{
    mem_free(rule->host);
    mem_free(rule->path);
    policy_graphql_free(rule->graphql);
    policy_shape_done(&rule->shape);
    mem_free_strings(rule->unless, rule->n_unless);
}

void policy_with_done(PolicyWith *with)
{
    mem_free_strings(with->name, with->n);
    mem_free_strings(with->value, with->n);
    *with = (PolicyWith){0};
}

static void parameter_done(PolicyParameter *parameter)
{
    mem_free(parameter->name);
    mem_free(parameter->fallback);
    mem_free(parameter->value);
    mem_free_strings(parameter->unless, parameter->n_unless);
}

static void test_done(PolicyTest *test)
{
    mem_free(test->method);
    mem_free(test->path);
    mem_free(test->query);
    mem_free(test->accept);
    mem_free(test->content_type);
    mem_free(test->graphql);
    mem_free(test->variables);
    mem_free(test->operation_name);
    policy_with_done(&test->with);
}

Policy *policy_free(Policy *policy)
{
    if (!policy)
        return NULL;
    for (size_t i = 0; i < policy->n_rule; i++)
        policy_rule_done(&policy->rule[i]);
    for (size_t i = 0; i < policy->n_test; i++)
        test_done(&policy->test[i]);
    for (size_t i = 0; i < policy->n_parameter; i++)
        parameter_done(&policy->parameter[i]);
    policy_permissions_done(&policy->permissions);
    mem_free(policy->parameter);
    policy_with_done(&policy->with);
    mem_free(policy->rule);
    mem_free(policy->order);
    mem_free(policy->test);
    mem_free(policy->name);
    mem_free(policy->file);
    mem_free(policy->documentation);
    mem_free(policy);
    return NULL;
}
