/* The tests that stand beside a policy's rules. See policy.h. */
#include "policy/form.h"

#include <errno.h>

static int fault_test(const Policy *policy, const PolicyTest *test, PolicyVerdict verdict, Fault *fault)
{
    Fault why = {""};
    policy_explain(policy, verdict, test->method, SLICE_LITERAL(""), slice_of(test->path), &why);
    return fault_set(fault, -EINVAL, "%s:%u: the test 'request: %s %s, expect: %s' fails: %s",
                     policy->file[0] ? policy->file : policy->name, test->line, test->method, test->path,
                     test->expect_allow ? "allow" : "deny", why.text);
}

int policy_run_tests(const Policy *policy, Fault *fault)
{
    for (size_t i = 0; i < policy->n_test; i++) {
        const PolicyTest *test = &policy->test[i];
        PolicyVerdict verdict = policy_decide(policy, policy_method(slice_of(test->method)), (Slice){"", 0},
                                              slice_of(test->path));
        if ((verdict.answer == POLICY_ALLOW) != test->expect_allow)
            return fault_test(policy, test, verdict, fault);
    }
    return 0;
}
