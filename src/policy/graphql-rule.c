/* What a GraphQL rule must look like, its bytes, its end. See graphql-rule.h. */
#include "policy/graphql-rule.h"

#include "base/mem.h"
#include "base/text.h"
#include "policy/list.h"

#define OPERATIONS (GRAPHQL_QUERY | GRAPHQL_MUTATION)

static bool is_name(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && text[n] == '\0' && n <= GRAPHQL_MAX_NAME && !(text[0] >= '0' && text[0] <= '9');
}

static bool has_upper(const char *text)
{
    return text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0';
}

static const char *list_problem(char *const *list, size_t n, bool names, bool star)
{
    for (size_t i = 0; i < n; i++) {
        if (names && !is_name(list[i]) && !(star && strcmp(list[i], "*") == 0))
            return "has a name that no GraphQL field can have";
        if (!names && (strlen(list[i]) > POLICY_MAX_VALUE || !text_is_utf8(slice_of(list[i]))))
            return "has a value that is longer than 256 bytes, or not UTF-8";
        if (i && strcmp(list[i - 1], list[i]) >= 0)
            return "names something twice";
    }
    return NULL;
}

static bool lists_field(const PolicyGraphql *rule, const char *name)
{
    for (size_t i = 0; i < rule->n_field; i++)
        if (strcmp(rule->field[i], name) == 0 || strcmp(rule->field[i], "*") == 0)
            return true;
    return false;
}

static const char *argument_problem(const PolicyGraphql *rule, const PolicyArgument *argument)
{
    if (!lists_field(rule, argument->field))
        return "has arguments of a field that it does not allow";
    if (!is_name(argument->name) || !is_name(argument->field))
        return "has an argument whose name, or whose field's, none can have";
    if (argument->n_value == 0 || argument->n_value > POLICY_MAX_VALUES)
        return "has an argument without a value that is allowed, or with too many";
    return list_problem(argument->value, argument->n_value, false, false);
}

/* Rules from a file are refused for more than that, with the place: load-beneath.c. */
static const char *beneath_problem(const PolicyGraphql *rule, size_t at)
{
    const PolicyBeneath *beneath = &rule->beneath[at];
    if (!is_name(beneath->field))
        return "has a name under 'beneath' that no GraphQL field can have";
    if (at && strcmp(rule->beneath[at - 1].field, beneath->field) >= 0)
        return "has a field twice under 'beneath'";
    if (beneath->n_name == 0 || beneath->n_name > POLICY_MAX_FIELDS)
        return "has no name beneath a field, or too many";
    return list_problem(beneath->name, beneath->n_name, true, false);
}

static const char *deny_problem(const PolicyGraphql *rule)
{
    bool bare = !rule->operations && !rule->n_subfield && !rule->any_subfield && !rule->max_depth &&
                !rule->max_aliases && !rule->n_argument && !rule->n_beneath;
    for (size_t i = 0; i < rule->n_field; i++)
        if (has_upper(rule->field[i]))
            return "denies a name that is not in lower case";
    return bare ? NULL : "has something beside 'fields' under deny";
}

const char *policy_graphql_problem(const PolicyGraphql *rule, bool deny)
{
    if (rule->n_field == 0)
        return "names no fields";
    if (rule->n_field > POLICY_MAX_FIELDS || rule->n_subfield > POLICY_MAX_FIELDS ||
        rule->n_argument > POLICY_MAX_ARGUMENTS || rule->n_beneath > POLICY_MAX_BENEATH)
        return "is too long";
    const char *problem = list_problem(rule->field, rule->n_field, true, !deny);
    if (problem)
        return problem;
    if (deny)
        return deny_problem(rule);
    if (!rule->operations || rule->operations & ~(uint32_t)OPERATIONS)
        return "has operations other than query and mutation";
    if (rule->max_depth < 1 || rule->max_depth > GRAPHQL_MAX_DEPTH || rule->max_aliases > GRAPHQL_MAX_ALIASES)
        return "has a bound that is out of range";
    if (rule->any_subfield && rule->n_subfield)
        return "allows any subfield and some";
    problem = list_problem(rule->subfield, rule->n_subfield, true, false);
    for (size_t i = 0; i < rule->n_argument && !problem; i++)
        problem = argument_problem(rule, &rule->argument[i]);
    for (size_t i = 0; i < rule->n_beneath && !problem; i++)
        problem = beneath_problem(rule, i);
    return problem;
}

PolicyGraphql *policy_graphql_free(PolicyGraphql *rule)
{
    if (!rule)
        return NULL;
    for (size_t i = 0; i < rule->n_argument; i++) {
        mem_free(rule->argument[i].field);
        mem_free(rule->argument[i].name);
        mem_free_strings(rule->argument[i].value, rule->argument[i].n_value);
    }
    mem_free(rule->argument);
    for (size_t i = 0; i < rule->n_beneath && !rule->borrows_beneath; i++) {
        mem_free(rule->beneath[i].field);
        mem_free_strings(rule->beneath[i].name, rule->beneath[i].n_name);
    }
    if (!rule->borrows_beneath)
        mem_free(rule->beneath);
    mem_free_strings(rule->field, rule->n_field);
    mem_free_strings(rule->subfield, rule->n_subfield);
    mem_free(rule);
    return NULL;
}

void policy_graphql_put(const PolicyGraphql *rule, WireWriter *wire)
{
    wire_put_u32(wire, rule->operations);
    policy_list_put(wire, rule->field, rule->n_field);
    policy_list_put(wire, rule->subfield, rule->n_subfield);
    wire_put_u8(wire, rule->any_subfield);
    wire_put_u32(wire, rule->max_depth);
    wire_put_u32(wire, rule->max_aliases);
    wire_put_u32(wire, (uint32_t)rule->n_argument);
    for (size_t i = 0; i < rule->n_argument; i++) {
        wire_put_text(wire, rule->argument[i].field);
        wire_put_text(wire, rule->argument[i].name);
        policy_list_put(wire, rule->argument[i].value, rule->argument[i].n_value);
    }
}

static uint32_t get_count(WireReader *wire, uint32_t most)
{
    uint32_t n = wire_get_u32(wire);
    if (n > most)
        wire->failed = true;
    return wire->failed ? 0 : n;
}

static void get_argument(WireReader *wire, PolicyArgument *argument)
{
    argument->field = wire_dup_text(wire, GRAPHQL_MAX_NAME);
    argument->name = wire_dup_text(wire, GRAPHQL_MAX_NAME);
    policy_list_get(wire, POLICY_MAX_VALUE, POLICY_MAX_VALUES, &argument->value, &argument->n_value);
}

PolicyGraphql *policy_graphql_get(WireReader *wire)
{
    PolicyGraphql *rule = MEM_NEW(PolicyGraphql);
    rule->operations = wire_get_u32(wire);
    policy_list_get(wire, GRAPHQL_MAX_NAME, POLICY_MAX_FIELDS, &rule->field, &rule->n_field);
    policy_list_get(wire, GRAPHQL_MAX_NAME, POLICY_MAX_FIELDS, &rule->subfield, &rule->n_subfield);
    rule->any_subfield = wire_get_bool(wire);
    rule->max_depth = wire_get_u32(wire);
    rule->max_aliases = wire_get_u32(wire);
    uint32_t n = get_count(wire, POLICY_MAX_ARGUMENTS);
    rule->argument = n ? MEM_NEW_ARRAY(PolicyArgument, n) : NULL;
    for (uint32_t i = 0; i < n; i++)
        get_argument(wire, &rule->argument[rule->n_argument++]);
    return rule;
}

void policy_beneath_put(const PolicyGraphql *rule, WireWriter *wire)
{
    wire_put_u32(wire, (uint32_t)rule->n_beneath);
    for (size_t i = 0; i < rule->n_beneath; i++) {
        wire_put_text(wire, rule->beneath[i].field);
        policy_list_put(wire, rule->beneath[i].name, rule->beneath[i].n_name);
    }
}

void policy_beneath_get(WireReader *wire, PolicyGraphql *rule)
{
    uint32_t n = get_count(wire, POLICY_MAX_BENEATH);
    rule->beneath = n ? MEM_NEW_ARRAY(PolicyBeneath, n) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        PolicyBeneath *beneath = &rule->beneath[rule->n_beneath++];
        beneath->field = wire_dup_text(wire, GRAPHQL_MAX_NAME);
        policy_list_get(wire, GRAPHQL_MAX_NAME, POLICY_MAX_FIELDS, &beneath->name, &beneath->n_name);
    }
}

static bool same_names(const PolicyBeneath *a, const PolicyBeneath *b)
{
    if (strcmp(a->field, b->field) != 0 || a->n_name != b->n_name)
        return false;
    for (size_t i = 0; i < a->n_name; i++)
        if (strcmp(a->name[i], b->name[i]) != 0)
            return false;
    return true;
}

bool policy_beneath_same(const PolicyGraphql *a, const PolicyGraphql *b)
{
    if (a->n_beneath == 0 || a->n_beneath != b->n_beneath)
        return false;
    for (size_t i = 0; i < a->n_beneath && a->beneath != b->beneath; i++)
        if (!same_names(&a->beneath[i], &b->beneath[i]))
            return false;
    return true;
}

void policy_beneath_borrow(PolicyGraphql *rule, const PolicyGraphql *from)
{
    rule->beneath = from->beneath;
    rule->n_beneath = from->n_beneath;
    rule->borrows_beneath = true;
}
