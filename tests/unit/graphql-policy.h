/* What tests of a policy's GraphQL rules share: an arena, a policy out of a text, and what it answers. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/graphql-rule.h"

static GraphqlArena arena;
static GraphqlChosen chosen;
static PolicyGraphqlVerdict verdict;
static Fault fault;

static int set_up(void **state)
{
    (void)state;
    graphql_arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    graphql_arena_done(&arena);
    return 0;
}

static Policy *policy_of(const char *rules)
{
    Policy *policy = NULL;
    CLEANUP_MEM char *text = mem_printf("policy: p\n%s", rules);
    if (policy_parse("p.yaml", slice_of(text), &policy, &fault))
        fail_msg("%s", fault.text);
    return policy;
}

static PolicyAnswer ask_with(const Policy *policy, const char *query, const char *variables)
{
    GraphqlValue object = {0};
    graphql_arena_reset(&arena);
    if (variables && graphql_parse_value(&arena, slice_of(variables), &object, &fault))
        fail_msg("%s", fault.text);
    GraphqlRequest request = {slice_of(query), {"", 0}, object.entry};
    if (graphql_read(&arena, &request, &chosen, &fault))
        fail_msg("%s: %s", query, fault.text);
    verdict = policy_decide_graphql(policy, &chosen);
    policy_explain_graphql(policy, &verdict, &chosen, &fault);
    return verdict.answer;
}

static void assert_answers(const Policy *policy, PolicyAnswer answer, size_t n, const char *const *query)
{
    for (size_t i = 0; i < n; i++)
        if (ask_with(policy, query[i], NULL) != answer)
            fail_msg("%s: %s", query[i], fault.text);
}
#define ASSERT_ANSWERS(policy, answer, ...)                                                                  \
    do {                                                                                                     \
        static const char *const query_[] = {__VA_ARGS__};                                                   \
        assert_answers((policy), (answer), COUNT_OF(query_), query_);                                        \
    } while (0)
