/* A policy as bytes for the keeper. See policy.h. What the keeper reads is checked as strictly as a file is:
 * an allow rule that came in wrong must not become a wide one. */
#include "policy/form.h"

#include "base/mem.h"
#include "base/text.h"
#include "policy/graphql-rule.h"

#include <errno.h>

/* RULE_SAME: its `beneath` is that of the rule before it, and is not sent again. */
enum {
    RULE_DENY = 1,
    RULE_GRAPHQL = 2,
    RULE_HOST = 4,
    RULE_SHAPE = 8,
    RULE_BENEATH = 16,
    RULE_SAME = 32,
    RULE_FLAGS = 63,
};

static void put_budget(const PolicyBudget *budget, WireWriter *wire)
{
    wire_put_u64(wire, budget->requests);
    wire_put_u64(wire, budget->request_bytes);
    wire_put_u64(wire, budget->response_bytes);
    wire_put_u64(wire, budget->per_kilosecond);
    wire_put_u64(wire, budget->time);
    wire_put_u64(wire, budget->graphql_cost);
}

static PolicyBudget get_budget(WireReader *wire)
{
    PolicyBudget budget;
    budget.requests = wire_get_u64(wire);
    budget.request_bytes = wire_get_u64(wire);
    budget.response_bytes = wire_get_u64(wire);
    budget.per_kilosecond = wire_get_u64(wire);
    budget.time = wire_get_u64(wire);
    budget.graphql_cost = wire_get_u64(wire);
    return budget;
}

static bool has_beneath(const PolicyRule *rule)
{
    return rule->graphql && rule->graphql->n_beneath;
}

/* `before`: the rule before it, or NULL. */
static bool has_same(const PolicyRule *rule, const PolicyRule *before)
{
    return has_beneath(rule) && before && before->graphql &&
           policy_beneath_same(rule->graphql, before->graphql);
}

static void put_rule(const PolicyRule *rule, const PolicyRule *before, WireWriter *wire)
{
    bool shape = !policy_shape_is_empty(&rule->shape), same = has_same(rule, before);
    wire_put_u8(wire, (uint8_t)((rule->deny ? RULE_DENY : 0) | (rule->graphql ? RULE_GRAPHQL : 0) |
                                (rule->host[0] ? RULE_HOST : 0) | (shape ? RULE_SHAPE : 0) |
                                (has_beneath(rule) ? RULE_BENEATH : 0) | (same ? RULE_SAME : 0)));
    wire_put_u32(wire, rule->line);
    wire_put_u16(wire, (uint16_t)rule->methods);
    if (rule->graphql)
        policy_graphql_put(rule->graphql, wire);
    else
        wire_put_text(wire, rule->path);
    if (has_beneath(rule) && !same)
        policy_beneath_put(rule->graphql, wire);
    if (rule->host[0])
        wire_put_text(wire, rule->host);
    if (shape)
        policy_shape_put(&rule->shape, wire);
}

void policy_put(const Policy *policy, WireWriter *wire)
{
    wire_put_text(wire, policy->name);
    wire_put_u8(wire, policy->reveal);
    put_budget(&policy->budget, wire);
    wire_put_u32(wire, (uint32_t)policy->n_rule);
    for (size_t i = 0; i < policy->n_rule; i++)
        put_rule(&policy->rule[i], i ? &policy->rule[i - 1] : NULL, wire);
}

static void get_rule(WireReader *wire, PolicyRule *rule, const PolicyRule *before)
{
    uint8_t flags = wire_get_u8(wire);
    rule->deny = flags & RULE_DENY;
    rule->line = wire_get_u32(wire);
    rule->methods = wire_get_u16(wire);
    rule->graphql = flags & RULE_GRAPHQL ? policy_graphql_get(wire) : NULL;
    rule->path = rule->graphql ? mem_strdup("") : wire_dup_text(wire, POLICY_MAX_PATH);
    if (flags & RULE_SAME && rule->graphql && before && before->graphql)
        policy_beneath_borrow(rule->graphql, before->graphql);
    else if (flags & RULE_BENEATH && rule->graphql)
        policy_beneath_get(wire, rule->graphql);
    rule->host = flags & RULE_HOST ? wire_dup_text(wire, 253) : mem_strdup("");
    if (flags & RULE_SHAPE)
        policy_shape_get(wire, &rule->shape);
    bool said = !rule->host[0] == !(flags & RULE_HOST) && has_beneath(rule) == !!(flags & RULE_BENEATH) &&
                has_same(rule, before) == !!(flags & RULE_SAME) &&
                policy_shape_is_empty(&rule->shape) == !(flags & RULE_SHAPE);
    if (!wire->failed && (flags & ~RULE_FLAGS || !said || policy_rule_problem(rule)))
        wire->failed = true;
}

int policy_get(WireReader *wire, Policy **ret_policy)
{
    Policy *policy = MEM_NEW(Policy);
    policy->name = wire_dup_text(wire, 63);
    policy->file = mem_strdup("");
    policy->documentation = mem_strdup("");
    policy->reveal = wire_get_bool(wire);
    policy->budget = get_budget(wire);
    uint32_t n_rule = wire_get_u32(wire);
    if (n_rule > POLICY_MAX_RULES || !text_is_name(slice_of(policy->name)))
        wire->failed = true;
    if (!wire->failed && n_rule)
        policy->rule = MEM_NEW_ARRAY(PolicyRule, n_rule);
    for (uint32_t i = 0; i < n_rule && !wire->failed; i++) {
        policy->n_rule = i + 1;
        get_rule(wire, &policy->rule[i], i ? &policy->rule[i - 1] : NULL);
    }
    if (!wire->failed)
        policy_index(policy);
    if (wire->failed) {
        policy_free(policy);
        return -EBADMSG;
    }
    *ret_policy = policy;
    return 0;
}

bool policy_fits(const Policy *policy)
{
    unsigned char *room = mem_new(POLICY_MAX_PACKED, 1);
    WireWriter wire = {.data = room, .room = POLICY_MAX_PACKED};
    policy_put(policy, &wire);
    mem_free(room);
    return !wire.failed;
}
