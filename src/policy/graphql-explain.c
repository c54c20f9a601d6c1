/* Sentences about GraphQL verdicts. See graphql-rule.h. Names are the document's and the policy's; values are
 * the policy's alone, because sentences are kept. */
#include "policy/graphql-rule.h"

#include <stdio.h>

#define VALUES_SHOWN 200

static GraphqlPlace place_of(const GraphqlChosen *chosen, const GraphqlSelection *field)
{
    return graphql_place(chosen->document->text, field->at);
}

static void explain_field(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                          const GraphqlChosen *chosen, Fault *ret)
{
    const char *type = graphql_type_text(chosen->operation->type);
    Slice name = verdict->root->field->name;
    if (slice_is(name, "__typename"))
        fault_set(ret, 0, "policy %s has no rule that allows a GraphQL %s", policy->name, type);
    else
        fault_set(ret, 0,
                  "the GraphQL %s of '%.*s' is not named by policy %s; if it is meant to be allowed, add to "
                  "its allow "
                  "list: - graphql: {operations: [%s], fields: [%.*s]}",
                  type, (int)name.len, name.ptr, policy->name, type, (int)name.len, name.ptr);
}

/* "a, b, c", cut where it is long. */
static const char *show(char out[VALUES_SHOWN + 8], char *const *word, size_t n_word)
{
    size_t n = 0, i = 0;
    out[0] = '\0';
    for (; i < n_word && n + strlen(word[i]) + 2 < VALUES_SHOWN; i++)
        n += (size_t)snprintf(out + n, VALUES_SHOWN + 8 - n, "%s%s", n ? ", " : "", word[i]);
    if (i < n_word)
        snprintf(out + n, VALUES_SHOWN + 8 - n, "%s...", n ? ", " : "");
    return out;
}

static void explain_beneath(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                            const GraphqlChosen *chosen, Fault *ret)
{
    char names[VALUES_SHOWN + 8];
    const PolicyBeneath *beneath = verdict->beneath;
    GraphqlPlace place = place_of(chosen, verdict->field);
    Slice name = verdict->field->name;
    fault_set(ret, 0,
              "the GraphQL field '%.*s' (line %u, column %u) stands beneath '%s', where policy %s, line %u, "
              "allows: %s; if it is meant to be read there, add it to 'beneath: {%s: ...}' of that rule",
              (int)name.len, name.ptr, place.line, place.column, beneath->field, policy->name,
              policy->rule[verdict->rule].line, show(names, beneath->name, beneath->n_name), beneath->field);
}

static void explain_argument(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                             const GraphqlChosen *chosen, Fault *ret)
{
    char values[VALUES_SHOWN + 8];
    const PolicyArgument *argument = verdict->argument;
    GraphqlPlace place = place_of(chosen, verdict->field);
    fault_set(ret, 0,
              "the argument '%s' of the GraphQL field '%s' (line %u, column %u) must be there and be one of: "
              "%s; that is "
              "what policy %s, line %u, allows",
              argument->name, argument->field, place.line, place.column,
              show(values, argument->value, argument->n_value), policy->name,
              policy->rule[verdict->rule].line);
}

void policy_explain_graphql(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                            const GraphqlChosen *chosen, Fault *ret)
{
    const PolicyRule *rule = verdict->rule >= 0 ? &policy->rule[verdict->rule] : NULL;
    const char *type = graphql_type_text(chosen->operation->type);
    Slice name = verdict->field ? verdict->field->name : (Slice){"", 0};
    GraphqlPlace place = verdict->field ? place_of(chosen, verdict->field) : (GraphqlPlace){1, 1};
    switch (verdict->why) {
    case POLICY_GRAPHQL_ALLOWED:
        fault_set(ret, 0, "the GraphQL %s of '%.*s' is allowed by policy %s, line %u", type, (int)name.len,
                  name.ptr, policy->name, rule ? rule->line : 0);
        break;
    case POLICY_GRAPHQL_SUBSCRIPTION:
        fault_set(ret, 0, "no policy can allow a GraphQL subscription: ask by a query, again and again");
        break;
    case POLICY_GRAPHQL_DENIED:
        fault_set(
            ret, 0,
            "the GraphQL field '%.*s' (line %u, column %u) is denied by policy %s, line %u: deny {graphql: "
            "{fields: [%.*s]}}; no allow rule is stronger than that",
            (int)name.len, name.ptr, place.line, place.column, policy->name, rule ? rule->line : 0,
            (int)name.len, name.ptr);
        break;
    case POLICY_GRAPHQL_FIELD:
        explain_field(policy, verdict, chosen, ret);
        break;
    case POLICY_GRAPHQL_DEPTH:
        fault_set(ret, 0,
                  "the GraphQL field '%.*s' (line %u, column %u) goes %u fields deep; policy %s, line %u, "
                  "has maxDepth: %u",
                  (int)name.len, name.ptr, place.line, place.column, verdict->root->depth, policy->name,
                  rule->line, rule->graphql->max_depth);
        break;
    case POLICY_GRAPHQL_ALIASES:
        fault_set(ret, 0, "the GraphQL %s has %u aliases; policy %s, line %u, has maxAliases: %u", type,
                  chosen->operation->totals.aliases, policy->name, rule->line, rule->graphql->max_aliases);
        break;
    case POLICY_GRAPHQL_ARGUMENT:
        explain_argument(policy, verdict, chosen, ret);
        break;
    case POLICY_GRAPHQL_SUBFIELD:
        fault_set(ret, 0,
                  "the GraphQL field '%.*s' (line %u, column %u) is not among the subfields of policy %s, "
                  "line %u; if it "
                  "is meant to be read, add it there",
                  (int)name.len, name.ptr, place.line, place.column, policy->name, rule->line);
        break;
    case POLICY_GRAPHQL_BENEATH:
        explain_beneath(policy, verdict, chosen, ret);
        break;
    }
}
