/* The GraphQL tests that stand beside a policy's rules. See graphql-rule.h. A document that cannot be decided
 * at all is no test of a rule, whatever is expected of it. */
#include "policy/graphql-rule.h"

#include "base/mem.h"
#include "policy/parameter.h"

#include <errno.h>

#define DOCUMENT_SHOWN 100

static int fault_test(const Policy *policy, const PolicyTest *test, const char *why, Fault *fault)
{
    bool cut = strlen(test->graphql) > DOCUMENT_SHOWN;
    return fault_set(fault, -EINVAL, "%s:%u: the test 'graphql: %.*s%s, expect: %s' fails: %s",
                     policy->file[0] ? policy->file : policy->name, test->line, DOCUMENT_SHOWN, test->graphql,
                     cut ? "..." : "", test->expect_allow ? "allow" : "deny", why);
}

int policy_run_graphql_test(const Policy *policy, const PolicyTest *test, GraphqlArena *arena, Fault *fault)
{
    CLEANUP_MEM char *document = policy_fill_strings(policy, test->graphql);
    CLEANUP_MEM char *given = test->variables ? policy_fill_strings(policy, test->variables) : NULL;
    GraphqlRequest request = {slice_of(document), slice_of(test->operation_name), NULL};
    GraphqlValue variables = {0};
    GraphqlChosen chosen;
    Fault why = {""};
    graphql_arena_reset(arena);
    int r = test->variables ? graphql_parse_value(arena, slice_of(given), &variables, &why) : 0;
    request.variable = variables.entry;
    if (r || graphql_read(arena, &request, &chosen, &why))
        return fault_test(policy, test, why.text, fault);
    PolicyGraphqlVerdict verdict = policy_decide_graphql(policy, &chosen);
    if ((verdict.answer == POLICY_ALLOW) == test->expect_allow)
        return 0;
    policy_explain_graphql(policy, &verdict, &chosen, &why);
    return fault_test(policy, test, why.text, fault);
}
