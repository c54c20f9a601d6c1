/* Deciding an operation against a policy's GraphQL rules. See graphql-rule.h. Pure; no allocation. An allow
 * rule is byte for byte; a deny rule errs on the side of denying and overlooks letter case. */
#include "policy/graphql-rule.h"

#include "policy/list.h"

static bool lists(char *const *list, size_t n, Slice name, bool nocase)
{
    return policy_list_find(list, n, name, nocase) >= 0;
}

static bool is_typename(Slice name)
{
    return slice_is(name, "__typename");
}

typedef struct Denying {
    const PolicyGraphql *rule;
    const GraphqlSelection *hit;
} Denying;

static bool look_for_denied(const GraphqlSelection *field, void *context)
{
    Denying *denying = context;
    if (!lists(denying->rule->field, denying->rule->n_field, field->name, true))
        return true;
    denying->hit = field;
    return false;
}

static bool is_denied(const Policy *policy, const GraphqlChosen *chosen, PolicyGraphqlVerdict *verdict)
{
    for (size_t i = 0; i < policy->n_rule; i++) {
        Denying denying = {policy->rule[i].graphql, NULL};
        if (!policy->rule[i].deny || !denying.rule)
            continue;
        if (graphql_visit(chosen->operation->child, look_for_denied, &denying))
            continue;
        *verdict =
            (PolicyGraphqlVerdict){POLICY_DENY, (int32_t)i, POLICY_GRAPHQL_DENIED, .field = denying.hit};
        return true;
    }
    return false;
}

/* One value, a variable looked up. */
static bool value_allowed(const PolicyArgument *argument, const GraphqlChosen *chosen,
                          const GraphqlValue *value)
{
    value = graphql_resolve(chosen, value);
    return value &&
           (value->kind == GRAPHQL_STRING || value->kind == GRAPHQL_INT || value->kind == GRAPHQL_ENUM ||
            value->kind == GRAPHQL_BOOLEAN) &&
           lists(argument->value, argument->n_value, value->text, false);
}

static bool argument_allowed(const PolicyArgument *argument, const GraphqlChosen *chosen,
                             const GraphqlSelection *field)
{
    const GraphqlEntry *entry = field->argument;
    while (entry && !slice_is(entry->name, argument->name))
        entry = entry->next;
    const GraphqlValue *value = entry ? graphql_resolve(chosen, &entry->value) : NULL;
    if (!value || value->kind != GRAPHQL_LIST)
        return value && value_allowed(argument, chosen, value);
    for (entry = value->entry; entry; entry = entry->next)
        if (!value_allowed(argument, chosen, &entry->value))
            return false;
    return value->entry != NULL;
}

typedef struct Looking {
    const PolicyGraphql *rule;
    const GraphqlSelection *stranger;
} Looking;

static bool look_for_strangers(const GraphqlSelection *field, void *context)
{
    Looking *looking = context;
    if (is_typename(field->name) ||
        lists(looking->rule->subfield, looking->rule->n_subfield, field->name, false))
        return true;
    looking->stranger = field;
    return false;
}

static bool names_root(const PolicyGraphql *rule, Slice name)
{
    return is_typename(name) || lists(rule->field, rule->n_field, name, false) ||
           (!slice_starts(name, "__") && strcmp(rule->field[0], "*") == 0);
}

/* Why this rule does not allow this root field. */
static PolicyGraphqlWhy try_rule(const PolicyGraphql *rule, const GraphqlChosen *chosen,
                                 const GraphqlRoot *root, PolicyGraphqlVerdict *verdict)
{
    verdict->field = root->field;
    verdict->argument = NULL;
    if (!(rule->operations & chosen->operation->type) || !names_root(rule, root->field->name))
        return POLICY_GRAPHQL_FIELD;
    if (root->depth > rule->max_depth)
        return POLICY_GRAPHQL_DEPTH;
    if (chosen->operation->totals.aliases > rule->max_aliases)
        return POLICY_GRAPHQL_ALIASES;
    for (size_t i = 0; i < rule->n_argument; i++) {
        const PolicyArgument *argument = &rule->argument[i];
        if (!slice_is(root->field->name, argument->field) || argument_allowed(argument, chosen, root->field))
            continue;
        verdict->argument = argument;
        return POLICY_GRAPHQL_ARGUMENT;
    }
    Looking looking = {rule, NULL};
    if (!rule->any_subfield && !graphql_visit(root->field->child, look_for_strangers, &looking)) {
        verdict->field = looking.stranger;
        return POLICY_GRAPHQL_SUBFIELD;
    }
    return policy_beneath_allows(rule, root->field->child, verdict) ? POLICY_GRAPHQL_ALLOWED
                                                                    : POLICY_GRAPHQL_BENEATH;
}

/* The rule that allows a root field, or the one that comes nearest to it. */
static PolicyGraphqlVerdict decide_root(const Policy *policy, const GraphqlChosen *chosen,
                                        const GraphqlRoot *root)
{
    PolicyGraphqlVerdict nearest = {
        POLICY_NOT_NAMED, -1, POLICY_GRAPHQL_FIELD, root, root->field, NULL, NULL};
    for (size_t i = 0; i < policy->n_rule; i++) {
        const PolicyRule *rule = &policy->rule[i];
        PolicyGraphqlVerdict verdict = {
            POLICY_NOT_NAMED, (int32_t)i, POLICY_GRAPHQL_FIELD, root, NULL, NULL, NULL};
        if (rule->deny || !rule->graphql)
            continue;
        verdict.why = try_rule(rule->graphql, chosen, root, &verdict);
        if (verdict.why == POLICY_GRAPHQL_ALLOWED) {
            verdict.answer = POLICY_ALLOW;
            return verdict;
        }
        if (verdict.why > nearest.why)
            nearest = verdict;
    }
    return nearest;
}

PolicyGraphqlVerdict policy_decide_graphql(const Policy *policy, const GraphqlChosen *chosen)
{
    PolicyGraphqlVerdict verdict = {POLICY_DENY, -1, POLICY_GRAPHQL_SUBSCRIPTION,
                                    .field = chosen->operation->child};
    if (chosen->operation->type == GRAPHQL_SUBSCRIPTION || is_denied(policy, chosen, &verdict))
        return verdict;
    for (size_t i = chosen->n_root; i > 0; i--) { /* so that the first one's is what is returned */
        verdict = decide_root(policy, chosen, &chosen->root[i - 1]);
        if (verdict.answer != POLICY_ALLOW)
            break;
    }
    return verdict;
}
