/* See load-parameters.h. */
#include "policy/load-parameters.h"

#include "base/mem.h"
#include "policy/graphql-rule.h"
#include "policy/parameter.h"

typedef struct ParameterText {
    char *fallback, *kind;
    char **unless;
    size_t n_unless;
} ParameterText;

static const char *const class_word[] = {[POLICY_CLASS_SEGMENT] = "segment",
                                         [POLICY_CLASS_NAME] = "name",
                                         [POLICY_CLASS_NUMBER] = "number",
                                         [POLICY_CLASS_PATH] = "path"};

static int read_class(const YamlDoc *doc, const YamlNode *node, const char *word, PolicyClass *ret_class,
                      Fault *fault)
{
    for (size_t i = 0; i < COUNT_OF(class_word); i++)
        if (strcmp(word, class_word[i]) == 0) {
            *ret_class = (PolicyClass)i;
            return 0;
        }
    return yaml_fault(doc, yaml_get(node, "class"), fault,
                      "'class' is segment, name, number or path, not '%.40s'", word);
}

static int read_parameter(const YamlDoc *doc, const YamlNode *node, PolicyParameter *parameter, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(ParameterText, "default", YAML_AS_TEXT, fallback, .most = POLICY_MAX_VALUE_BYTES),
        YAML_FIELD(ParameterText, "class", YAML_AS_TEXT, kind),
        YAML_FIELD(ParameterText, "unless", YAML_AS_TEXTS, unless, .count = offsetof(ParameterText, n_unless),
                   .most = POLICY_MAX_PARAMETERS),
    };
    ParameterText text = {0};
    int r = YAML_READ_MAP(doc, node, "a parameter", field, &text, fault);
    if (!r && text.kind)
        r = read_class(doc, node, text.kind, &parameter->kind, fault);
    parameter->fallback = text.fallback;
    parameter->unless = text.unless;
    parameter->n_unless = text.n_unless;
    if (!r && text.n_unless && !text.fallback)
        r = yaml_fault(doc, node, fault, "'unless' is about the default of '%s', which has none",
                       parameter->name);
    mem_free(text.kind);
    if (r || !parameter->fallback || strcmp(parameter->fallback, POLICY_ANY) == 0)
        return r;
    const char *problem = policy_value_problem(parameter->kind, parameter->fallback);
    return problem ? yaml_fault(doc, yaml_get(node, "default"), fault,
                                "the default of '%s' %s, unless it is '*', which is any segment",
                                parameter->name, problem)
                   : 0;
}

int load_parameters(const YamlDoc *doc, const YamlNode *map, Policy *policy, Fault *fault)
{
    int r = map ? yaml_want_map(doc, map, "parameters", fault) : 0;
    for (size_t i = 0; map && r == 0 && i + 1 < map->n_child; i += 2) {
        const char *name = map->child[i]->text;
        if (!policy_is_parameter_name(name))
            return yaml_fault(doc, map->child[i], fault,
                              "a parameter's name is letters and digits, as in repositoryId, not '%.60s'",
                              name);
        if (policy->n_parameter == POLICY_MAX_PARAMETERS)
            return yaml_fault(doc, map->child[i], fault, "more than %d parameters", POLICY_MAX_PARAMETERS);
        MEM_PUSH(policy->parameter, policy->n_parameter,
                 (PolicyParameter){.name = mem_strdup(name), .line = map->child[i]->line});
        r = read_parameter(doc, map->child[i + 1], &policy->parameter[policy->n_parameter - 1], fault);
    }
    for (size_t i = 0; r == 0 && i < policy->n_parameter; i++)
        for (size_t k = 0; r == 0 && k < policy->parameter[i].n_unless; k++)
            if (!policy_find_parameter(policy, slice_of(policy->parameter[i].unless[k])))
                r = yaml_fault(doc, map->child[2 * i + 1], fault, "'%.40s' is not one of these parameters",
                               policy->parameter[i].unless[k]);
    return r;
}

int load_unless(const YamlDoc *doc, const YamlNode *node, const Policy *policy, PolicyRule *rule,
                Fault *fault)
{
    const YamlNode *list = yaml_get(node, "unless");
    if (list && rule->deny)
        return yaml_fault(doc, list, fault, "a deny rule holds always: it has no 'unless'");
    for (size_t i = 0; i < rule->n_unless; i++)
        if (!policy_find_parameter(policy, slice_of(rule->unless[i])))
            return yaml_fault(doc, list->child[i], fault,
                              "'%.40s' is not declared under 'parameters' of this policy", rule->unless[i]);
    return 0;
}

int load_check_arguments(const YamlDoc *doc, const YamlNode *node, const Policy *policy,
                         const PolicyRule *rule, Fault *fault)
{
    for (size_t i = 0; rule->graphql && i < rule->graphql->n_argument; i++)
        for (size_t k = 0; k < rule->graphql->argument[i].n_value; k++) {
            Slice name, text = slice_of(rule->graphql->argument[i].value[k]);
            for (size_t at = 0; policy_next_parameter(text, &at, &name);)
                if (!policy_find_parameter(policy, name))
                    return yaml_fault(
                        doc, node, fault,
                        "the argument '%s' names {%.*s}, which is not declared under 'parameters'",
                        rule->graphql->argument[i].name, (int)name.len, name.ptr);
        }
    return 0;
}

static int read_value(const YamlDoc *doc, const YamlNode *name, const YamlNode *value, const Policy *policy,
                      PolicyWith *with, Fault *fault)
{
    Fault why = {""};
    if (value->kind != YAML_TEXT || !value->text[0])
        return yaml_fault(doc, value, fault,
                          "the value of '%.40s' must be a word or a number, or a list of them, but is %s",
                          name->text, yaml_kind_text(value));
    bool known = policy_find_parameter(policy, slice_of(name->text)) != NULL;
    if (policy_check_value(policy, name->text, value->text, &why))
        return yaml_fault(doc, known ? value : name, fault, "%s", why.text);
    MEM_PUSH(with->name, with->n, mem_strdup(name->text));
    with->value = mem_grow(with->value, with->n, sizeof(*with->value));
    with->value[with->n - 1] = mem_strdup(value->text);
    return 0;
}

int policy_read_with(const YamlDoc *doc, const YamlNode *map, const Policy *policy, PolicyWith *ret_with,
                     Fault *fault)
{
    int r = map ? yaml_want_map(doc, map, "with", fault) : 0;
    for (size_t i = 0; map && r == 0 && i + 1 < map->n_child; i += 2) {
        const YamlNode *name = map->child[i], *value = map->child[i + 1];
        bool list = value->kind == YAML_LIST;
        if (list)
            r = yaml_want_list(doc, value, name->text, POLICY_MAX_COMBINATIONS, fault);
        if (list && r == 0 && value->n_child == 0)
            r = yaml_fault(doc, value, fault, "'%.40s' has no value; leave it out for its default",
                           name->text);
        for (size_t k = 0; k < (list ? value->n_child : 1) && r == 0; k++)
            r = read_value(doc, name, list ? value->child[k] : value, policy, ret_with, fault);
    }
    return r;
}
