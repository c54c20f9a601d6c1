/* Deciding what stands beneath a field by a rule's `beneath`. See graphql-rule.h. Pure; no allocation. On the
 * way down it is known within which of the rule's fields one is, a bit for each. A fragment is gone through
 * wherever it is spread, because what it may hold depends on where that is; a document is refused before it
 * comes here when that makes more than GRAPHQL_MAX_SELECTIONS.
 */
#include "policy/graphql-rule.h"

#include "policy/list.h"

static int compare(Slice name, const char *field)
{
    int r = strncmp(name.ptr, field, name.len);
    return r ? r : -(field[name.len] != '\0');
}

/* The bit of a field by its own name, whatever alias it has; 0: it is none of the rule's. */
static uint64_t bit_of(const PolicyGraphql *rule, Slice name)
{
    size_t low = 0, high = rule->n_beneath;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = compare(name, rule->beneath[middle].field);
        if (r == 0)
            return (uint64_t)1 << middle;
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

/* The first of the fields around it whose list does not have this name. */
static const PolicyBeneath *refusing(const PolicyGraphql *rule, uint64_t within, Slice name)
{
    if (slice_is(name, "__typename")) /* is allowed everywhere */
        return NULL;
    for (size_t i = 0; within; i++, within >>= 1)
        if (within & 1 && policy_list_find(rule->beneath[i].name, rule->beneath[i].n_name, name, false) < 0)
            return &rule->beneath[i];
    return NULL;
}

static bool walk(const PolicyGraphql *rule, const GraphqlSelection *selection, uint64_t within,
                 PolicyGraphqlVerdict *verdict)
{
    for (; selection; selection = selection->next) {
        bool is_field = selection->kind == GRAPHQL_FIELD;
        const GraphqlSelection *child = selection->fragment ? selection->fragment->child : selection->child;
        const PolicyBeneath *beneath = is_field ? refusing(rule, within, selection->name) : NULL;
        if (beneath) {
            verdict->field = selection;
            verdict->beneath = beneath;
            return false;
        }
        uint64_t more = is_field && child ? bit_of(rule, selection->name) : 0;
        if (child && !walk(rule, child, within | more, verdict))
            return false;
    }
    return true;
}

bool policy_beneath_allows(const PolicyGraphql *rule, const GraphqlSelection *child,
                           PolicyGraphqlVerdict *verdict)
{
    return rule->n_beneath == 0 || walk(rule, child, 0, verdict);
}
