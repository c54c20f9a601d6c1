/* The tests that stand beside a policy's rules. See policy.h. */
#include "policy/form.h"
#include "policy/graphql-rule.h"

#include <errno.h>

static int fault_test(const Policy *policy, const PolicyTest *test, const PolicyRequest *request,
                      const PolicyVerdict *verdict, Fault *fault)
{
    Fault why = {""};
    policy_explain(policy, verdict, test->method, request, &why);
    return fault_set(fault, -EINVAL, "%s:%u: the test 'request: %s %s%s%s, expect: %s' fails: %s",
                     policy->file[0] ? policy->file : policy->name, test->line, test->method, test->path,
                     test->query[0] ? "?" : "", test->query, test->expect_allow ? "allow" : "deny", why.text);
}

static int run_rest_test(const Policy *policy, const PolicyTest *test, Fault *fault)
{
    HttpHeader header[2];
    PolicyRequest request = {.method = policy_method(slice_of(test->method)),
                             .host = {"", 0},
                             .path = slice_of(test->path),
                             .query = slice_of(test->query),
                             .header = header,
                             .has_body = test->content_type != NULL};
    if (test->accept)
        header[request.n_header++] = (HttpHeader){SLICE_LITERAL("Accept"), slice_of(test->accept)};
    if (test->content_type)
        header[request.n_header++] =
            (HttpHeader){SLICE_LITERAL("Content-Type"), slice_of(test->content_type)};
    PolicyVerdict verdict = policy_decide(policy, &request);
    return (verdict.answer == POLICY_ALLOW) == test->expect_allow
               ? 0
               : fault_test(policy, test, &request, &verdict, fault);
}

static int run_tests(const Policy *policy, GraphqlArena *arena, Fault *fault)
{
    for (size_t i = 0; i < policy->n_test; i++) {
        const PolicyTest *test = &policy->test[i];
        int r = test->graphql ? policy_run_graphql_test(policy, test, arena, fault)
                              : run_rest_test(policy, test, fault);
        if (r)
            return r;
    }
    return 0;
}

int policy_run_tests(const Policy *policy, Fault *fault)
{
    GraphqlArena arena;
    graphql_arena_init(&arena);
    int r = run_tests(policy, &arena, fault);
    graphql_arena_done(&arena);
    return r;
}
