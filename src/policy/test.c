/* The tests that stand beside a policy's rules. See policy.h. */
#include "policy/form.h"
#include "policy/graphql-rule.h"

#include <errno.h>

static int fault_test(const Policy *policy, const PolicyTest *test, PolicyVerdict verdict, Fault *fault)
{
    Fault why = {""};
    policy_explain(policy, verdict, test->method, SLICE_LITERAL(""), slice_of(test->path), &why);
    return fault_set(fault, -EINVAL, "%s:%u: the test 'request: %s %s, expect: %s' fails: %s",
                     policy->file[0] ? policy->file : policy->name, test->line, test->method, test->path,
                     test->expect_allow ? "allow" : "deny", why.text);
}

static int run_tests(const Policy *policy, GraphqlArena *arena, Fault *fault)
{
    for (size_t i = 0; i < policy->n_test; i++) {
        const PolicyTest *test = &policy->test[i];
        int r = test->graphql ? policy_run_graphql_test(policy, test, arena, fault) : 0;
        if (r)
            return r;
        if (test->graphql)
            continue;
        PolicyVerdict verdict = policy_decide(policy, policy_method(slice_of(test->method)), (Slice){"", 0},
                                              slice_of(test->path));
        if ((verdict.answer == POLICY_ALLOW) != test->expect_allow)
            return fault_test(policy, test, verdict, fault);
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
