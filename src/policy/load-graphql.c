/* GraphQL rules from a policy's file. See load-graphql.h. */
#include "policy/load-graphql.h"

#include "base/mem.h"
#include "base/text.h"
#include "graphql/print.h"
#include "policy/list.h"

#include <errno.h>

typedef struct RuleText {
    char **operation, **field, **subfield;
    size_t n_operation, n_field, n_subfield;
    uint32_t max_depth, max_aliases;
    const YamlNode *arguments, *beneath;
} RuleText;

static int read_operations(const YamlDoc *doc, const YamlNode *node, const RuleText *text,
                           PolicyGraphql *rule, Fault *fault)
{
    if (!yaml_get(node, "operations"))
        rule->operations = GRAPHQL_QUERY;
    for (size_t i = 0; i < text->n_operation; i++) {
        const char *word = text->operation[i];
        uint32_t type = strcmp(word, "query") == 0      ? GRAPHQL_QUERY
                        : strcmp(word, "mutation") == 0 ? GRAPHQL_MUTATION
                                                        : 0;
        if (!type)
            return yaml_fault(
                doc, yaml_get(node, "operations"), fault,
                "a GraphQL operation that a policy can allow is 'query' or 'mutation', not '%.40s'", word);
        rule->operations |= type;
    }
    if (!rule->operations)
        return yaml_fault(doc, yaml_get(node, "operations"), fault, "'operations' names none");
    return 0;
}

/* [acme, web] or acme. */
static int read_values(const YamlDoc *doc, const YamlNode *node, const char *name, PolicyArgument *argument,
                       Fault *fault)
{
    size_t n = node->kind == YAML_LIST ? node->n_child : 1;
    int r = node->kind == YAML_LIST ? yaml_want_list(doc, node, name, POLICY_MAX_VALUES, fault) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        char *value = NULL;
        r = yaml_read_text(doc, node->kind == YAML_LIST ? node->child[i] : node, name, POLICY_MAX_VALUE,
                           &value, fault);
        if (r == 0)
            MEM_PUSH(argument->value, argument->n_value, value);
    }
    policy_list_sort(argument->value, argument->n_value);
    return r;
}

static int read_arguments_of(const YamlDoc *doc, const YamlNode *map, const char *field, PolicyGraphql *rule,
                             Fault *fault)
{
    int r = yaml_want_map(doc, map, field, fault);
    for (size_t i = 0; r == 0 && i + 1 < map->n_child; i += 2) {
        if (rule->n_argument == POLICY_MAX_ARGUMENTS)
            return yaml_fault(doc, map->child[i], fault, "more than %d arguments in one rule",
                              POLICY_MAX_ARGUMENTS);
        MEM_PUSH(rule->argument, rule->n_argument,
                 (PolicyArgument){.field = mem_strdup(field), .name = mem_strdup(map->child[i]->text)});
        r = read_values(doc, map->child[i + 1], map->child[i]->text, &rule->argument[rule->n_argument - 1],
                        fault);
    }
    return r;
}

static int read_arguments(const YamlDoc *doc, const YamlNode *map, PolicyGraphql *rule, Fault *fault)
{
    int r = map ? yaml_want_map(doc, map, "arguments", fault) : 0;
    for (size_t i = 0; map && r == 0 && i + 1 < map->n_child; i += 2)
        r = read_arguments_of(doc, map->child[i + 1], map->child[i]->text, rule, fault);
    return r;
}

static void take_lists(RuleText *text, bool deny, PolicyGraphql *rule)
{
    rule->field = STEAL(text->field);
    rule->n_field = text->n_field;
    rule->subfield = STEAL(text->subfield);
    rule->n_subfield = text->n_subfield;
    text->n_field = text->n_subfield = 0;
    if (deny)
        policy_list_lower(rule->field, rule->n_field);
    policy_list_sort(rule->field, rule->n_field);
    policy_list_sort(rule->subfield, rule->n_subfield);
}

static int fill_allow(const YamlDoc *doc, const YamlNode *node, const RuleText *text, PolicyGraphql *rule,
                      Fault *fault)
{
    rule->any_subfield = !yaml_get(node, "subfields");
    rule->max_depth = yaml_get(node, "maxDepth") ? text->max_depth : POLICY_DEFAULT_DEPTH;
    rule->max_aliases = yaml_get(node, "maxAliases") ? text->max_aliases : POLICY_DEFAULT_ALIASES;
    int r = read_operations(doc, node, text, rule, fault);
    r = r ? r : read_arguments(doc, text->arguments, rule, fault);
    return r ? r : load_beneath(doc, text->beneath, rule, fault);
}

static int read_allow(const YamlDoc *doc, const YamlNode *node, RuleText *text, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(RuleText, "operations", YAML_AS_TEXTS, operation,
                   .count = offsetof(RuleText, n_operation)),
        YAML_FIELD(RuleText, "fields", YAML_AS_TEXTS, field, .count = offsetof(RuleText, n_field),
                   .most = POLICY_MAX_FIELDS, .required = true),
        YAML_FIELD(RuleText, "subfields", YAML_AS_TEXTS, subfield, .count = offsetof(RuleText, n_subfield),
                   .most = POLICY_MAX_FIELDS),
        YAML_FIELD(RuleText, "maxDepth", YAML_AS_U32, max_depth, .most = GRAPHQL_MAX_DEPTH),
        YAML_FIELD(RuleText, "maxAliases", YAML_AS_U32, max_aliases, .most = GRAPHQL_MAX_ALIASES),
        YAML_FIELD(RuleText, "arguments", YAML_AS_NODE, arguments),
        YAML_FIELD(RuleText, "beneath", YAML_AS_NODE, beneath),
    };
    return YAML_READ_MAP(doc, node, "graphql", field, text, fault);
}

static int read_deny(const YamlDoc *doc, const YamlNode *node, RuleText *text, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(RuleText, "fields", YAML_AS_TEXTS, field, .count = offsetof(RuleText, n_field),
                   .most = POLICY_MAX_FIELDS, .required = true),
        YAML_FIELD(RuleText, "beneath", YAML_AS_NODE, beneath),
    };
    int r = YAML_READ_MAP(doc, node, "graphql under deny", field, text, fault);
    return !r && text->beneath
               ? yaml_fault(doc, text->beneath, fault,
                            "a deny rule has no 'beneath': what it names is denied wherever it stands")
               : r;
}

int load_graphql_rule(const YamlDoc *doc, const YamlNode *node, bool deny, PolicyGraphql **ret_rule,
                      Fault *fault)
{
    RuleText text = {0};
    PolicyGraphql *rule = *ret_rule = MEM_NEW(PolicyGraphql);
    int r = deny ? read_deny(doc, node, &text, fault) : read_allow(doc, node, &text, fault);
    if (r == 0) {
        take_lists(&text, deny, rule);
        r = deny ? 0 : fill_allow(doc, node, &text, rule, fault);
    }
    mem_free_strings(text.operation, text.n_operation);
    mem_free_strings(text.field, text.n_field);
    mem_free_strings(text.subfield, text.n_subfield);
    const char *problem = r ? NULL : policy_graphql_problem(rule, deny);
    return problem ? yaml_fault(doc, node, fault, "the graphql rule %s", problem) : r;
}

/* A plain word that is a number or a boolean to GraphQL. */
static bool is_bare(const YamlNode *node)
{
    _Alignas(16) char room[64] = "";
    size_t len = strlen(node->text);
    GraphqlArena arena = {.data = room, .room = sizeof(room)};
    GraphqlValue value;
    return node->plain && len && len < 32 &&
           graphql_parse_value(&arena, slice_of(node->text), &value, NULL) == 0 &&
           (value.kind == GRAPHQL_INT || value.kind == GRAPHQL_FLOAT || value.kind == GRAPHQL_BOOLEAN);
}

static int write_value(const YamlDoc *doc, const YamlNode *node, bool as_json, Buf *out, Fault *fault);

/* What is no name in GraphQL is none of the operation's variables, and within an object it does not matter.
 */
static bool is_sayable(const char *key)
{
    GraphqlEntry entry = {.name = slice_of(key)};
    const GraphqlValue object = {.kind = GRAPHQL_OBJECT, .entry = &entry};
    return graphql_is_printable(&object);
}

static int write_group(const YamlDoc *doc, const YamlNode *node, bool as_json, Buf *out, Fault *fault)
{
    bool map = node->kind == YAML_MAP;
    int r = buf_append(out, map ? "{" : "[", 1);
    for (size_t i = 0; r == 0 && i < node->n_child; i += 1 + map) {
        if (map && as_json && !is_sayable(node->child[i]->text))
            continue;
        if (map)
            r = buf_printf(out, "%s: ", node->child[i]->text);
        r = r ? r : write_value(doc, node->child[i + map], as_json, out, fault);
        r = r ? r : buf_append(out, ", ", 2);
    }
    return r ? r : buf_append(out, map ? "}" : "]", 1);
}

static int write_value(const YamlDoc *doc, const YamlNode *node, bool as_json, Buf *out, Fault *fault)
{
    if (node->kind == YAML_LIST || node->kind == YAML_MAP)
        return write_group(doc, node, as_json, out, fault);
    if (node->kind == YAML_NULL)
        return buf_append_text(out, "null");
    if (is_bare(node))
        return buf_append_text(out, node->text);
    const GraphqlValue value = {.kind = GRAPHQL_STRING, .text = slice_of(node->text)};
    return graphql_print_value(&value, out);
}

int load_graphql_variables(const YamlDoc *doc, const YamlNode *node, bool as_json, char **ret_text,
                           Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(POLICY_MAX_BYTES);
    int r = yaml_want_map(doc, node, "variables", fault);
    if (r)
        return r;
    if (write_value(doc, node, as_json, &text, fault))
        return yaml_fault(doc, node, fault, "'variables' is too long");
    *ret_text = mem_strdup(buf_text(&text));
    return 0;
}
