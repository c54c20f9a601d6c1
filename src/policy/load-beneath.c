/* `beneath:` of a GraphQL rule from a policy's file: {author: [login, name], agent: [name]}. See
 * graphql-rule.h. A name that the rule's `subfields` do not have is refused, because the rule would then say
 * something that it does not do.
 */
#include "policy/load-graphql.h"

#include "base/mem.h"
#include "policy/list.h"

#include <stdlib.h>

static int compare_fields(const void *a, const void *b)
{
    return strcmp(((const PolicyBeneath *)a)->field, ((const PolicyBeneath *)b)->field);
}

static bool is_subfield(const PolicyGraphql *rule, const char *name)
{
    return rule->any_subfield ||
           policy_list_find(rule->subfield, rule->n_subfield, slice_of(name), false) >= 0;
}

static int read_names(const YamlDoc *doc, const YamlNode *list, const PolicyGraphql *rule,
                      PolicyBeneath *beneath, Fault *fault)
{
    const char *field = beneath->field;
    int r = yaml_want_list(doc, list, field, POLICY_MAX_FIELDS, fault);
    if (r == 0 && list->n_child == 0)
        return yaml_fault(
            doc, list, fault,
            "nothing is named that may stand beneath '%s'; to allow no such field, leave it out "
            "of 'subfields'",
            field);
    for (size_t i = 0; r == 0 && i < list->n_child; i++) {
        char *name = NULL;
        r = yaml_read_text(doc, list->child[i], field, GRAPHQL_MAX_NAME, &name, fault);
        if (r)
            break;
        if (!is_subfield(rule, name))
            r = yaml_fault(doc, list->child[i], fault,
                           "'%.60s' is named beneath '%s' and is none of the rule's 'subfields', so it is "
                           "refused there too: add it to them, or leave it out here",
                           name, field);
        else if (policy_list_find(beneath->name, beneath->n_name, slice_of(name), false) >= 0)
            r = yaml_fault(doc, list->child[i], fault, "'%.60s' is named twice beneath '%s'", name, field);
        MEM_PUSH(beneath->name, beneath->n_name, name);
        policy_list_sort(beneath->name, beneath->n_name);
    }
    return r;
}

static int read_field(const YamlDoc *doc, const YamlNode *key, const YamlNode *list, PolicyGraphql *rule,
                      Fault *fault)
{
    const char *field = key->text;
    if (rule->n_beneath == POLICY_MAX_BENEATH)
        return yaml_fault(doc, key, fault, "more than %d fields under 'beneath' of one rule",
                          POLICY_MAX_BENEATH);
    if (!is_subfield(rule, field))
        return yaml_fault(
            doc, key, fault,
            "'%.60s' is none of the rule's 'subfields', so nothing stands beneath it: add it to "
            "them, or leave it out here%s",
            field,
            policy_list_find(rule->field, rule->n_field, slice_of(field), false) >= 0
                ? "; beneath a root field may stand what 'subfields' names"
                : "");
    MEM_PUSH(rule->beneath, rule->n_beneath, (PolicyBeneath){.field = mem_strdup(field)});
    return read_names(doc, list, rule, &rule->beneath[rule->n_beneath - 1], fault);
}

int load_beneath(const YamlDoc *doc, const YamlNode *map, PolicyGraphql *rule, Fault *fault)
{
    int r = map ? yaml_want_map(doc, map, "beneath", fault) : 0;
    if (map && r == 0 && map->n_child == 0)
        return yaml_fault(doc, map, fault, "'beneath' names no field; leave the key out");
    for (size_t i = 0; map && r == 0 && i + 1 < map->n_child; i += 2)
        r = read_field(doc, map->child[i], map->child[i + 1], rule, fault);
    if (rule->n_beneath)
        qsort(rule->beneath, rule->n_beneath, sizeof(*rule->beneath), compare_fields);
    return r;
}
