/* The tests that stand beside a policy's rules. See policy.h. */
#include "base/mem.h"
#include "policy/form.h"
#include "policy/graphql-rule.h"
#include "policy/parameter.h"

#include <errno.h>

static int fault_test(const Policy *policy, const PolicyTest *test, const PolicyRequest *request,
                      const PolicyVerdict *verdict, const char *method, Fault *fault)
{
    Fault why = {""};
    policy_explain(policy, verdict, method, request, &why);
    return fault_set(fault, -EINVAL, "%s:%u: the test 'request: %s %s%s%s, expect: %s' fails: %s",
                     policy->file[0] ? policy->file : policy->name, test->line, test->method, test->path,
                     test->query[0] ? "?" : "", test->query, test->expect_allow ? "allow" : "deny", why.text);
}

static int run_rest_test(const Policy *policy, const PolicyTest *test, Fault *fault)
{
    HttpHeader header[2];
    const char *method = test->method;
    CLEANUP_MEM char *path = policy_fill_path(policy, test->path);
    PolicyRequest request = {.method = policy_method(slice_of(test->method)),
                             .host = {"", 0},
                             .path = slice_of(path),
                             .query = slice_of(test->query),
                             .header = header,
                             .has_body = test->content_type != NULL};
    if (test->accept)
        header[request.n_header++] = (HttpHeader){SLICE_LITERAL("Accept"), slice_of(test->accept)};
    if (test->content_type)
        header[request.n_header++] =
            (HttpHeader){SLICE_LITERAL("Content-Type"), slice_of(test->content_type)};
    PolicyVerdict verdict = policy_decide_overridden(policy, &request, &method);
    return (verdict.answer == POLICY_ALLOW) == test->expect_allow
               ? 0
               : fault_test(policy, test, &request, &verdict, method, fault);
}

/* The policy as a test with these values has it; the one at hand, where the test has none. */
static int bind_for(const Policy *policy, const PolicyTest *test, const Policy *plain, Policy **ret_own,
                    Fault *fault)
{
    Fault why = {""};
    *ret_own = NULL;
    if (plain && test->with.n == 0)
        return 0;
    return policy_bind(policy, &test->with, ret_own, &why) == 0
               ? 0
               : fault_set(fault, -EINVAL, "%s:%u: the test cannot be run: %s",
                           policy->file[0] ? policy->file : policy->name, test->line, why.text);
}

static int run_tests(const Policy *policy, const Policy *plain, GraphqlArena *arena, Fault *fault)
{
    int r = 0;
    for (size_t i = 0; i < policy->n_test && r == 0; i++) {
        const PolicyTest *test = &policy->test[i];
        Policy *own = NULL;
        r = bind_for(policy, test, plain, &own, fault);
        if (r)
            break;
        const Policy *bound = own ? own : plain;
        r = test->graphql ? policy_run_graphql_test(bound, test, arena, fault)
                          : run_rest_test(bound, test, fault);
        policy_free(own);
    }
    return r;
}

int policy_run_tests(const Policy *policy, Fault *fault)
{
    GraphqlArena arena;
    Policy *plain = NULL;
    const PolicyWith none = {0};
    graphql_arena_init(&arena);
    int r = policy_missing(policy, &none) ? 0 : policy_bind(policy, &none, &plain, fault);
    r = r ? r : run_tests(policy, plain, &arena, fault);
    graphql_arena_done(&arena);
    policy_free(plain);
    return r;
}
