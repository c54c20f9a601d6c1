/* A policy from its file. See policy.h; the keys are those of the design. Supervisor only. */
#include "base/mem.h"
#include "base/text.h"
#include "http/target.h"
#include "policy/form.h"
#include "policy/load-graphql.h"
#include "policy/load-parameters.h"
#include "policy/parameter.h"

#include <errno.h>

typedef struct Top {
    char *name;
    char *documentation;
    bool reveal;
    const YamlNode *lease, *permissions, *parameters, *allow, *deny, *tests;
} Top;

typedef struct RuleText {
    char *host;
    char *path;
    const YamlNode *method, *graphql;
    PolicyShape shape;
    char **unless;
    size_t n_unless;
} RuleText;

static int read_method(const YamlDoc *doc, const YamlNode *node, uint32_t *methods, Fault *fault)
{
    static const char *const word[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    if (node->kind != YAML_TEXT)
        return yaml_fault(doc, node, fault, "'method' must be a method or a list of them, but is %s",
                          yaml_kind_text(node));
    uint32_t bit = policy_method(slice_of(node->text));
    if (bit) {
        *methods |= bit;
        return 0;
    }
    const char *nearest = yaml_nearest(node->text, word, COUNT_OF(word));
    return yaml_fault(doc, node, fault, "'%.40s' is not a method that a policy can name; %s%s%s", node->text,
                      nearest ? "did you mean " : "",
                      nearest ? nearest : "there are GET, HEAD, POST, PUT, PATCH and DELETE",
                      nearest ? "?" : "");
}

static int read_methods(const YamlDoc *doc, const YamlNode *node, uint32_t *ret_methods, Fault *fault)
{
    uint32_t methods = 0;
    if (node->kind != YAML_LIST) {
        int r = read_method(doc, node, &methods, fault);
        if (r)
            return r;
    }
    for (size_t i = 0; i < node->n_child && node->kind == YAML_LIST; i++) {
        int r = read_method(doc, node->child[i], &methods, fault);
        if (r)
            return r;
    }
    if (!methods)
        return yaml_fault(doc, node, fault, "'method' names none");
    *ret_methods = methods;
    return 0;
}

static int fill_shape(const YamlDoc *doc, const YamlNode *node, RuleText *text, PolicyRule *rule,
                      Fault *fault)
{
    static const char *const key[] = {"query", "accept", "contentType", "responseBytes"};
    rule->shape = text->shape;
    text->shape = (PolicyShape){0};
    rule->shape.names_query = yaml_get(node, "query") != NULL;
    policy_shape_sort(&rule->shape);
    for (size_t i = 0; i < COUNT_OF(key); i++) {
        const YamlNode *value = yaml_get(node, key[i]);
        if (value && (rule->deny || rule->graphql))
            return yaml_fault(
                doc, value, fault, "%s has no '%s'; such a rule stands under allow, with a path",
                rule->deny ? "a deny rule, which denies whatever else a request has," : "a graphql rule",
                key[i]);
        if (value && i && (value->kind == YAML_LIST ? value->n_child == 0 : strcmp(value->text, "0") == 0))
            return yaml_fault(doc, value, fault, "'%s' would refuse every request; leave the key out",
                              key[i]);
    }
    const char *problem = policy_shape_problem(&rule->shape);
    return problem ? yaml_fault(doc, node, fault, "the rule %s", problem) : 0;
}

/* Such a rule stands alone. */
static int fill_graphql(const YamlDoc *doc, const YamlNode *node, const RuleText *text, PolicyRule *rule,
                        Fault *fault)
{
    rule->host = mem_strdup("");
    rule->path = mem_strdup("");
    if (text->path || text->host || text->method)
        return yaml_fault(doc, node, fault, "a graphql rule stands alone: it has no %s",
                          text->path   ? "path"
                          : text->host ? "host"
                                       : "method");
    return load_graphql_rule(doc, text->graphql, rule->deny, &rule->graphql, fault);
}

/* With its parameters, and what it is with a word in the place of each. */
static int check_path(const YamlDoc *doc, const YamlNode *node, const char *path, const Policy *policy,
                      Fault *fault)
{
    Slice name;
    const char *problem = policy_template_problem(policy, slice_of(path), &name);
    if (!problem) {
        CLEANUP_MEM char *plain = mem_strdup(path);
        for (char *c = plain; *c; c++)
            *c = *c == '{' || *c == '}' ? 'x' : *c;
        problem = policy_path_problem(slice_of(plain));
    }
    return problem ? yaml_fault(doc, node, fault, "the path '%.200s' %s", path, problem) : 0;
}

static int fill_rule(const YamlDoc *doc, const YamlNode *node, RuleText *text, const Policy *policy,
                     PolicyRule *rule, Fault *fault)
{
    rule->line = node->line;
    if (text->graphql)
        return fill_graphql(doc, node, text, rule, fault);
    const YamlNode *path = yaml_get(node, "path"), *host = yaml_get(node, "host");
    if (!text->path)
        return yaml_fault(doc, node, fault, "a rule needs the key 'path' ('/**' for every path)");
    int r = check_path(doc, path, text->path, policy, fault);
    if (r)
        return r;
    if (text->host && !text_is_host(slice_of(text->host)))
        return yaml_fault(doc, host, fault,
                          "'%.100s' is not a host name (lower case, without https:// and port)", text->host);
    if (!text->method && !rule->deny)
        return yaml_fault(doc, node, fault, "an allow rule needs the key 'method'");
    rule->host = text->host ? STEAL(text->host) : mem_strdup("");
    rule->path = STEAL(text->path);
    return text->method ? read_methods(doc, text->method, &rule->methods, fault) : 0;
}

static int read_rule(const YamlDoc *doc, const YamlNode *node, bool deny, Policy *policy, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(RuleText, "method", YAML_AS_NODE, method),
        YAML_FIELD(RuleText, "path", YAML_AS_TEXT, path, .most = POLICY_MAX_PATH),
        YAML_FIELD(RuleText, "host", YAML_AS_TEXT, host, .most = 253),
        YAML_FIELD(RuleText, "graphql", YAML_AS_NODE, graphql),
        YAML_FIELD(RuleText, "query", YAML_AS_TEXTS, shape.query, .count = offsetof(RuleText, shape.n_query),
                   .most = POLICY_MAX_QUERY),
        YAML_FIELD(RuleText, "accept", YAML_AS_TEXTS, shape.accept,
                   .count = offsetof(RuleText, shape.n_accept), .most = POLICY_MAX_TYPES),
        YAML_FIELD(RuleText, "contentType", YAML_AS_TEXTS, shape.content_type,
                   .count = offsetof(RuleText, shape.n_content_type), .most = POLICY_MAX_TYPES),
        YAML_FIELD(RuleText, "unless", YAML_AS_TEXTS, unless, .count = offsetof(RuleText, n_unless),
                   .most = POLICY_MAX_PARAMETERS),
        YAML_FIELD(RuleText, "responseBytes", YAML_AS_SIZE, shape.response_bytes),
    };
    if (policy->n_rule == POLICY_MAX_RULES)
        return yaml_fault(doc, node, fault, "more than %d rules in one policy", POLICY_MAX_RULES);
    RuleText text = {0};
    int r = YAML_READ_MAP(doc, node, deny ? "a deny rule" : "an allow rule", field, &text, fault);
    if (!r) {
        MEM_PUSH(policy->rule, policy->n_rule, (PolicyRule){.deny = deny});
        PolicyRule *rule = &policy->rule[policy->n_rule - 1];
        rule->unless = text.unless;
        rule->n_unless = text.n_unless;
        text.n_unless = 0;
        text.unless = NULL;
        r = fill_rule(doc, node, &text, policy, rule, fault);
        r = r ? r : fill_shape(doc, node, &text, rule, fault);
        r = r ? r : load_unless(doc, node, policy, rule, fault);
        r = r ? r : load_check_arguments(doc, node, policy, rule, fault);
    }
    mem_free_strings(text.unless, text.n_unless);
    policy_shape_done(&text.shape);
    mem_free(text.host);
    mem_free(text.path);
    return r;
}

static int read_rules(const YamlDoc *doc, const YamlNode *list, bool deny, Policy *policy, Fault *fault)
{
    if (!list)
        return 0;
    int r = yaml_want_list(doc, list, deny ? "deny" : "allow", POLICY_MAX_RULES, fault);
    for (size_t i = 0; !r && i < list->n_child; i++)
        r = read_rule(doc, list->child[i], deny, policy, fault);
    return r;
}

typedef struct TestText {
    char *request, *graphql, *operation_name;
    char *accept, *content_type;
    char *expect;
    const YamlNode *variables, *with;
} TestText;

static int fill_graphql_test(const YamlDoc *doc, TestText *text, PolicyTest *test, Fault *fault)
{
    test->method = mem_strdup("");
    test->path = mem_strdup("");
    test->query = mem_strdup("");
    test->graphql = STEAL(text->graphql);
    test->operation_name = STEAL(text->operation_name);
    return text->variables ? load_graphql_variables(doc, text->variables, false, &test->variables, fault) : 0;
}

static int fill_rest_test(const YamlDoc *doc, const YamlNode *node, TestText *text, PolicyTest *test,
                          Fault *fault)
{
    Slice method, target, path, query;
    Target normal;
    Fault why = {""};
    if (!slice_cut(slice_of(text->request), ' ', &method, &target) || target.len == 0 || target.ptr[0] != '/')
        return yaml_fault(doc, yaml_get(node, "request"), fault,
                          "'request' is a method and a path, as in 'GET /repos/a/b', not '%.100s'",
                          text->request);
    slice_cut(target, '?', &path, &query);
    if (query.len && target_normalise_slashes(target, &normal, &why) == 0)
        query = target_query(&normal);
    if (why.text[0] || memchr(path.ptr, ' ', path.len))
        return yaml_fault(doc, yaml_get(node, "request"), fault, "the request's target cannot be sent: %s",
                          why.text[0] ? why.text : "it has a space");
    test->method = mem_dup(method.ptr, method.len);
    test->path = mem_dup(path.ptr, path.len);
    test->query = mem_dup(query.ptr, query.len);
    test->accept = STEAL(text->accept);
    test->content_type = STEAL(text->content_type);
    return 0;
}

static int fill_test(const YamlDoc *doc, const YamlNode *node, TestText *text, Policy *policy, Fault *fault)
{
    bool allow = strcmp(text->expect, "allow") == 0;
    if (!allow && strcmp(text->expect, "deny") != 0)
        return yaml_fault(doc, yaml_get(node, "expect"), fault, "'expect' is allow or deny, not '%.40s'",
                          text->expect);
    if (!text->request == !text->graphql || (text->request && (text->variables || text->operation_name)) ||
        (text->graphql && (text->accept || text->content_type)))
        return yaml_fault(doc, node, fault,
                          "a test has either a 'request', maybe with 'accept' and 'contentType', or a "
                          "'graphql' document, maybe with 'variables' and 'operationName'");
    MEM_PUSH(policy->test, policy->n_test, (PolicyTest){.expect_allow = allow, .line = node->line});
    PolicyTest *test = &policy->test[policy->n_test - 1];
    int r = policy_read_with(doc, text->with, policy, &test->with, fault);
    if (r)
        return r;
    return text->graphql ? fill_graphql_test(doc, text, test, fault)
                         : fill_rest_test(doc, node, text, test, fault);
}

static int read_tests(const YamlDoc *doc, const YamlNode *list, Policy *policy, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(TestText, "request", YAML_AS_TEXT, request, .most = POLICY_MAX_PATH + 1024),
        YAML_FIELD(TestText, "with", YAML_AS_NODE, with),
        YAML_FIELD(TestText, "accept", YAML_AS_TEXT, accept),
        YAML_FIELD(TestText, "contentType", YAML_AS_TEXT, content_type),
        YAML_FIELD(TestText, "graphql", YAML_AS_VERBATIM, graphql, .most = POLICY_MAX_BYTES),
        YAML_FIELD(TestText, "variables", YAML_AS_NODE, variables),
        YAML_FIELD(TestText, "operationName", YAML_AS_TEXT, operation_name, .most = GRAPHQL_MAX_NAME),
        YAML_FIELD(TestText, "expect", YAML_AS_TEXT, expect, .required = true),
    };
    if (!list)
        return 0;
    int r = yaml_want_list(doc, list, "tests", POLICY_MAX_TESTS, fault);
    for (size_t i = 0; !r && i < list->n_child; i++) {
        TestText text = {0};
        r = YAML_READ_MAP(doc, list->child[i], "a test", field, &text, fault);
        if (!r)
            r = fill_test(doc, list->child[i], &text, policy, fault);
        mem_free(text.request);
        mem_free(text.accept);
        mem_free(text.content_type);
        mem_free(text.graphql);
        mem_free(text.operation_name);
        mem_free(text.expect);
    }
    return r;
}

static int read_lease(const YamlDoc *doc, const YamlNode *node, PolicyBudget *budget, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(PolicyBudget, "requests", YAML_AS_U64, requests),
        YAML_FIELD(PolicyBudget, "requestBytes", YAML_AS_SIZE, request_bytes),
        YAML_FIELD(PolicyBudget, "responseBytes", YAML_AS_SIZE, response_bytes),
        YAML_FIELD(PolicyBudget, "rate", YAML_AS_RATE, per_kilosecond),
        YAML_FIELD(PolicyBudget, "time", YAML_AS_DURATION, time, .most = 366ull * 86400 * 1000000),
        YAML_FIELD(PolicyBudget, "graphqlCost", YAML_AS_U64, graphql_cost),
    };
    if (!node)
        return 0;
    int r = YAML_READ_MAP(doc, node, "lease", field, budget, fault);
    for (size_t i = 0; !r && i < COUNT_OF(field); i++) {
        const YamlNode *value = yaml_get(node, field[i].key);
        if (value && *(uint64_t *)(void *)((char *)budget + field[i].offset) == 0)
            r = yaml_fault(doc, value, fault,
                           "'%s: %s' would refuse every request; leave the key out for the default",
                           field[i].key, value->text);
    }
    return r;
}

static int read_policy(const YamlDoc *doc, Top *top, Policy *policy, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(Top, "policy", YAML_AS_NAME, name, .required = true),
        YAML_FIELD(Top, "documentation", YAML_AS_TEXT, documentation),
        YAML_FIELD(Top, "reveal", YAML_AS_BOOL, reveal),
        YAML_FIELD(Top, "lease", YAML_AS_NODE, lease),
        YAML_FIELD(Top, "permissions", YAML_AS_NODE, permissions),
        YAML_FIELD(Top, "parameters", YAML_AS_NODE, parameters),
        YAML_FIELD(Top, "allow", YAML_AS_NODE, allow, .required = true),
        YAML_FIELD(Top, "deny", YAML_AS_NODE, deny),
        YAML_FIELD(Top, "tests", YAML_AS_NODE, tests),
    };
    int r = YAML_READ_MAP(doc, doc->root, "a policy", field, top, fault);
    if (r)
        return r;
    policy->name = STEAL(top->name);
    policy->documentation = top->documentation ? STEAL(top->documentation) : mem_strdup("");
    policy->reveal = top->reveal;
    r = read_lease(doc, top->lease, &policy->budget, fault);
    if (!r)
        r = policy_read_permissions(doc, top->permissions, &policy->permissions, fault);
    if (!r)
        r = load_parameters(doc, top->parameters, policy, fault);
    if (!r)
        r = read_rules(doc, top->allow, false, policy, fault);
    if (!r)
        r = read_rules(doc, top->deny, true, policy, fault);
    if (!r)
        r = read_tests(doc, top->tests, policy, fault);
    if (!r && !policy_fits(policy))
        r = fault_set(fault, -EINVAL, "%s:1:1: the rules of this policy are longer than %u KiB together",
                      policy->file, POLICY_MAX_PACKED >> 10);
    return r;
}

int policy_parse(const char *file, Slice text, Policy **ret_policy, Fault *fault)
{
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = yaml_doc_read(file, text, POLICY_MAX_BYTES, &doc, fault);
    if (r)
        return -EINVAL;
    Policy *policy = MEM_NEW(Policy);
    policy->file = mem_strdup(file);
    Top top = {0};
    r = read_policy(doc, &top, policy, fault);
    mem_free(top.name);
    mem_free(top.documentation);
    if (r) {
        policy_free(policy);
        return r;
    }
    policy_index(policy);
    *ret_policy = policy;
    return 0;
}
