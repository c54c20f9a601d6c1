/* A policy with values in the place of its parameters. See parameter.h. What comes out is a policy of its
 * own, checked like one that came over the wire: nothing that a value says can be more than a segment. */
#include "policy/form.h"
#include "policy/graphql-rule.h"
#include "policy/list.h"
#include "policy/parameter.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

/* NULL: its default does not hold, because another was given; rules with it are left out. */
static bool is_given(const PolicyParameter *parameter)
{
    return parameter->value && strcmp(parameter->value, POLICY_ANY) != 0;
}

char *policy_value_segment(const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*,=:@+";
    size_t len = strlen(value), n = 0;
    char *out = mem_new(3 * len + 1, 1);
    for (size_t i = 0; i < len; i++) {
        if (strchr(plain, value[i]))
            out[n++] = value[i];
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)value[i]);
    }
    return out;
}

/* A rule's path, segment by segment. *absent: one of its parameters has none. Under `deny` each is any: a
 * value must not take anything out of what is denied. */
static char *bind_path(const Policy *bound, const char *path, bool deny, bool *absent)
{
    CLEANUP_BUF Buf out = BUF_INIT(8 * POLICY_MAX_PATH);
    Slice text = slice_of(path), name;
    size_t at = 0, from = 0;
    int r = 0;
    while (r == 0 && policy_next_parameter(text, &at, &name)) {
        const PolicyParameter *parameter = policy_find_parameter(bound, name);
        if (!parameter)
            continue;
        *absent |= !parameter->value;
        CLEANUP_MEM char *segment =
            deny || !parameter->value ? mem_strdup(POLICY_ANY) : policy_value_segment(parameter->value);
        r = buf_append(&out, text.ptr + from, (size_t)(name.ptr - 1 - text.ptr) - from);
        r = r ? r : buf_append_text(&out, segment);
        from = at;
    }
    r = r ? r : buf_append_text(&out, path + from);
    return mem_strdup(r ? "" : buf_text(&out));
}

static char **dup_list(char *const *list, size_t n)
{
    char **out = n ? MEM_NEW_ARRAY(char *, n) : NULL;
    for (size_t i = 0; i < n; i++)
        out[i] = mem_strdup(list[i]);
    return out;
}

static PolicyShape dup_shape(const PolicyShape *shape)
{
    PolicyShape out = *shape;
    out.query = dup_list(shape->query, shape->n_query);
    out.accept = dup_list(shape->accept, shape->n_accept);
    out.content_type = dup_list(shape->content_type, shape->n_content_type);
    return out;
}

typedef enum Bound { BOUND_CONDITION, BOUND_NO_CONDITION, BOUND_BY_HALF } Bound;

/* One value of an argument: what is left of it as a condition. */
static Bound bind_value(const Policy *bound, const char *value, char **ret_text)
{
    CLEANUP_BUF Buf out = BUF_INIT(POLICY_MAX_BYTES);
    Slice text = slice_of(value), name;
    size_t at = 0, from = 0, any = 0, known = 0, absent = 0;
    int r = 0;
    while (r == 0 && policy_next_parameter(text, &at, &name)) {
        const PolicyParameter *parameter = policy_find_parameter(bound, name);
        if (!parameter)
            continue;
        *(!parameter->value ? &absent : is_given(parameter) ? &known : &any) += 1;
        r = buf_append(&out, text.ptr + from, (size_t)(name.ptr - 1 - text.ptr) - from);
        r = r ? r : buf_append_text(&out, parameter->value ? parameter->value : "");
        from = at;
    }
    r = r ? r : buf_append_text(&out, value + from);
    if (any || absent)
        return known || absent || r ? BOUND_BY_HALF : BOUND_NO_CONDITION;
    *ret_text = mem_strdup(r ? "" : buf_text(&out));
    return BOUND_CONDITION;
}

static Bound bind_argument(const Policy *bound, const PolicyArgument *from, PolicyArgument *to)
{
    *to = (PolicyArgument){.field = mem_strdup(from->field), .name = mem_strdup(from->name)};
    for (size_t i = 0; i < from->n_value; i++) {
        char *value = NULL;
        Bound how = bind_value(bound, from->value[i], &value);
        if (how != BOUND_CONDITION)
            return how;
        if (policy_list_find(to->value, to->n_value, slice_of(value), false) < 0)
            MEM_PUSH(to->value, to->n_value, STEAL(value));
        mem_free(value);
        policy_list_sort(to->value, to->n_value);
    }
    return BOUND_CONDITION;
}

static void argument_done(PolicyArgument *argument)
{
    mem_free(argument->field);
    mem_free(argument->name);
    mem_free_strings(argument->value, argument->n_value);
}

static PolicyBeneath *dup_beneath(const PolicyGraphql *from)
{
    PolicyBeneath *out = from->n_beneath ? MEM_NEW_ARRAY(PolicyBeneath, from->n_beneath) : NULL;
    for (size_t i = 0; i < from->n_beneath; i++) {
        const PolicyBeneath *beneath = &from->beneath[i];
        out[i] = (PolicyBeneath){mem_strdup(beneath->field), dup_list(beneath->name, beneath->n_name),
                                 beneath->n_name};
    }
    return out;
}

/* NULL: the rule is left out. */
static PolicyGraphql *bind_graphql(const Policy *bound, const PolicyGraphql *from)
{
    PolicyGraphql *to = MEM_NEW(PolicyGraphql);
    *to = *from;
    to->field = dup_list(from->field, from->n_field);
    to->subfield = dup_list(from->subfield, from->n_subfield);
    to->beneath = dup_beneath(from);
    to->borrows_beneath = false;
    to->argument = NULL;
    to->n_argument = 0;
    for (size_t i = 0; i < from->n_argument; i++) {
        PolicyArgument argument;
        Bound how = bind_argument(bound, &from->argument[i], &argument);
        if (how == BOUND_CONDITION) {
            MEM_PUSH(to->argument, to->n_argument, argument);
            continue;
        }
        argument_done(&argument);
        if (how == BOUND_BY_HALF)
            return policy_graphql_free(to);
    }
    return to;
}

static bool one_is_given(const Policy *bound, char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const PolicyParameter *parameter = policy_find_parameter(bound, slice_of(name[i]));
        if (parameter && is_given(parameter))
            return true;
    }
    return false;
}

/* Only an allow rule is ever left out. */
static int bind_rule(Policy *bound, const PolicyRule *from, Fault *fault)
{
    bool absent = false;
    PolicyRule to = {.deny = from->deny, .methods = from->methods, .line = from->line};
    to.graphql = from->graphql ? bind_graphql(bound, from->graphql) : NULL;
    to.path = bind_path(bound, from->path, from->deny, &absent);
    to.host = mem_strdup(from->host);
    to.shape = dup_shape(&from->shape);
    if ((from->graphql && !to.graphql) || (absent && !from->deny) ||
        one_is_given(bound, from->unless, from->n_unless)) {
        policy_rule_done(&to);
        return 0;
    }
    const char *problem = policy_rule_problem(&to);
    MEM_PUSH(bound->rule, bound->n_rule, to);
    return problem ? fault_set(fault, -EINVAL, "with these values the rule in line %u of policy %s %s",
                               from->line, bound->name, problem)
                   : 0;
}

int policy_check_value(const Policy *policy, const char *name, const char *value, Fault *fault)
{
    char known[400] = "";
    size_t n = 0;
    const PolicyParameter *parameter = policy_find_parameter(policy, slice_of(name));
    for (size_t i = 0; i < policy->n_parameter && n < sizeof(known); i++)
        n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", policy->parameter[i].name);
    if (!parameter)
        return fault_set(fault, -EINVAL, "policy %s has no parameter '%.40s' (it has: %s)", policy->name,
                         name, n ? known : "none");
    const char *problem = policy_value_problem(parameter->kind, value);
    return problem ? fault_set(fault, -EINVAL, "'%s: %.80s': a value of this parameter of policy %s %s", name,
                               value, policy->name, problem)
                   : 0;
}

static bool is_in(const PolicyWith *with, const char *name)
{
    for (size_t i = 0; i < with->n; i++)
        if (strcmp(with->name[i], name) == 0)
            return true;
    return false;
}

const char *policy_missing(const Policy *policy, const PolicyWith *with)
{
    for (size_t i = 0; i < policy->n_parameter; i++) {
        const PolicyParameter *parameter = &policy->parameter[i];
        if (!parameter->fallback && !is_in(with, parameter->name))
            return parameter->name;
    }
    return NULL;
}

/* Those that do not hold beside what was given. */
static bool is_dropped(const PolicyParameter *parameter, const PolicyWith *with)
{
    for (size_t i = 0; i < parameter->n_unless; i++)
        if (is_in(with, parameter->unless[i]))
            return true;
    return false;
}

/* How many values `with` has for a parameter, and the one that is number `at` of them. */
static size_t values_of(const PolicyWith *with, const char *name, size_t at, const char **ret_value)
{
    size_t n = 0;
    for (size_t i = 0; i < with->n; i++)
        if (strcmp(with->name[i], name) == 0 && n++ == at && ret_value)
            *ret_value = with->value[i];
    return n;
}

/* Gives the parameters their values: those of the combination of this number, each value with each. */
static void set_values(Policy *bound, const Policy *policy, const PolicyWith *with, size_t combination)
{
    for (size_t i = 0; i < policy->n_parameter; i++) {
        const PolicyParameter *from = &policy->parameter[i];
        const char *value = is_dropped(from, with) ? NULL : from->fallback;
        size_t n = values_of(with, from->name, 0, NULL);
        if (n) {
            values_of(with, from->name, combination % n, &value);
            combination /= n;
        }
        mem_free(bound->parameter[i].value);
        bound->parameter[i].value = value ? mem_strdup(value) : NULL;
    }
}

static int check_values(const Policy *policy, const PolicyWith *with, size_t *ret_combinations, Fault *fault)
{
    const char *missing = policy_missing(policy, with);
    size_t combinations = 1;
    if (missing)
        return fault_set(fault, -EINVAL,
                         "policy %s needs a value of its parameter '%s', as in 'with: {%s: ...}'",
                         policy->name, missing, missing);
    for (size_t i = 0; i < with->n; i++) {
        int r = policy_check_value(policy, with->name[i], with->value[i], fault);
        if (r)
            return r;
    }
    for (size_t i = 0; i < policy->n_parameter && combinations <= POLICY_MAX_COMBINATIONS; i++) {
        size_t n = values_of(with, policy->parameter[i].name, 0, NULL);
        combinations *= n ? n : 1;
    }
    *ret_combinations = combinations;
    return combinations <= POLICY_MAX_COMBINATIONS
               ? 0
               : fault_set(fault, -EINVAL, "the values for policy %s make more than %d combinations",
                           policy->name, POLICY_MAX_COMBINATIONS);
}

static bool same_rule(const PolicyRule *a, const PolicyRule *b)
{
    static unsigned char room[2][POLICY_MAX_PACKED];
    WireWriter wire[2] = {WIRE_WRITER(room[0]), WIRE_WRITER(room[1])};
    if (a->line != b->line || !a->graphql != !b->graphql || strcmp(a->path, b->path) != 0)
        return false;
    if (!a->graphql)
        return true; /* of one line: the rest is the same */
    policy_graphql_put(a->graphql, &wire[0]);
    policy_graphql_put(b->graphql, &wire[1]);
    return !wire[0].failed && wire[0].len == wire[1].len && memcmp(room[0], room[1], wire[0].len) == 0;
}

/* A rule in which nothing differs between two combinations is there once. `first`: where this rule's begin.
 */
static void drop_double(Policy *bound, size_t first)
{
    size_t last = bound->n_rule - 1;
    for (size_t i = first; i < last; i++)
        if (same_rule(&bound->rule[i], &bound->rule[last])) {
            policy_rule_done(&bound->rule[last]);
            bound->n_rule--;
            return;
        }
}

static int bind_all(Policy *bound, const Policy *policy, const PolicyWith *with, Fault *fault)
{
    size_t combinations = 1;
    int r = check_values(policy, with, &combinations, fault);
    for (size_t i = 0; i < policy->n_rule && r == 0; i++) {
        size_t first = bound->n_rule;
        for (size_t k = 0; k < combinations && r == 0; k++) {
            size_t before = bound->n_rule;
            set_values(bound, policy, with, k);
            r = bind_rule(bound, &policy->rule[i], fault);
            if (bound->n_rule > before && k)
                drop_double(bound, first);
            if (bound->n_rule > POLICY_MAX_RULES)
                r = fault_set(fault, -EINVAL, "with these values policy %s has more than %d rules",
                              policy->name, POLICY_MAX_RULES);
        }
    }
    if (r == 0)
        set_values(bound, policy, with, 0);
    return r;
}

static PolicyWith dup_with(const PolicyWith *with)
{
    return (PolicyWith){dup_list(with->name, with->n), dup_list(with->value, with->n), with->n};
}

int policy_bind(const Policy *policy, const PolicyWith *with, Policy **ret_policy, Fault *fault)
{
    Policy *bound = MEM_NEW(Policy);
    bound->name = mem_strdup(policy->name);
    bound->file = mem_strdup(policy->file);
    bound->documentation = mem_strdup(policy->documentation);
    bound->reveal = policy->reveal;
    bound->budget = policy->budget;
    policy_permissions_add(&bound->permissions, &policy->permissions);
    bound->with = dup_with(with);
    for (size_t i = 0; i < policy->n_parameter; i++)
        MEM_PUSH(bound->parameter, bound->n_parameter,
                 (PolicyParameter){.name = mem_strdup(policy->parameter[i].name),
                                   .kind = policy->parameter[i].kind,
                                   .line = policy->parameter[i].line});
    int r = bind_all(bound, policy, with, fault);
    if (!r && !policy_fits(bound))
        r = fault_set(fault, -EINVAL,
                      "with these values the rules of policy %s are longer than %u KiB together",
                      policy->name, POLICY_MAX_PACKED >> 10);
    if (r) {
        policy_free(bound);
        return r;
    }
    policy_index(bound);
    *ret_policy = bound;
    return 0;
}

bool policy_bound_as(const Policy *bound, const Policy *policy, const PolicyWith *with)
{
    if (strcmp(bound->name, policy->name) != 0 || bound->with.n != with->n)
        return false;
    for (size_t i = 0; i < with->n; i++)
        if (strcmp(bound->with.name[i], with->name[i]) != 0 ||
            strcmp(bound->with.value[i], with->value[i]) != 0)
            return false;
    return true;
}
