/* A policy's text: what is read goes over the wire and comes back deciding the same, down to its bytes; and
 * bytes that never were a policy are refused there. */
#include "policy/graphql-rule.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const Policy *a, const Policy *b)
{
    static const char *const path[] = {"/", "/a", "/a/b", "/a/b/", "/repos/x/y/actions/runs", "/A/secrets"};
    static const char *const query[] = {"", "page=1", "page=1&page=2", "a[]=1&a[]=2&%FF", "x"};
    const HttpHeader header[] = {{SLICE_LITERAL("Accept"), SLICE_LITERAL("application/json, */*;q=0.1")},
                                 {SLICE_LITERAL("Content-Type"), SLICE_LITERAL("application/json")}};
    for (uint32_t method = 1; method <= 512; method <<= 1)
        for (size_t i = 0; i < COUNT_OF(path) * COUNT_OF(query); i++) {
            PolicyRequest request = {.method = method,
                                     .path = slice_of(path[i / COUNT_OF(query)]),
                                     .query = slice_of(query[i % COUNT_OF(query)]),
                                     .header = header,
                                     .n_header = i % 3,
                                     .has_body = i % 2};
            PolicyVerdict x = policy_decide(a, &request), y = policy_decide(b, &request);
            Fault said = {""};
            policy_explain(b, &y, "GET", &request, &said);
            if (x.answer != y.answer || x.rule != y.rule || x.near != y.near || !said.text[0])
                abort();
        }
}

static void check_bytes(const Policy *policy, Slice bytes)
{
    static unsigned char room[POLICY_MAX_PACKED];
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    if (writer.failed || writer.len != bytes.len || memcmp(room, bytes.ptr, bytes.len) != 0)
        abort();
}

static void check_graphql(const Policy *a, const Policy *b)
{
    static const char *const query[] = {
        "{a}", "mutation{b{c}}", "{repository(owner:\"acme\"){name x:log}}",
        "{a{b{c ...F} c{...F}}} fragment F on T{b{id} ... on U{c{__typename}}}"};
    static GraphqlArena arena;
    if (!arena.room)
        graphql_arena_init(&arena);
    for (size_t i = 0; i < COUNT_OF(query); i++) {
        GraphqlRequest request = {.query = slice_of(query[i])};
        GraphqlChosen chosen;
        Fault fault;
        graphql_arena_reset(&arena);
        if (graphql_read(&arena, &request, &chosen, &fault))
            abort();
        PolicyGraphqlVerdict x = policy_decide_graphql(a, &chosen), y = policy_decide_graphql(b, &chosen);
        if (x.answer != y.answer || x.rule != y.rule || x.why != y.why || x.field != y.field)
            abort();
        fault.text[0] = '\0';
        policy_explain_graphql(b, &y, &chosen, &fault);
        if (!fault.text[0])
            abort();
    }
}

static void try_wire(const uint8_t *data, size_t size)
{
    Policy *policy = NULL;
    WireReader reader = WIRE_READER(data, size);
    if (policy_get(&reader, &policy) == 0) {
        check_same(policy, policy);
        check_graphql(policy, policy);
        check_bytes(policy, (Slice){(const char *)data, reader.at});
    }
    policy_free(policy);
}

/* With a value for whatever has no default; NULL: the values make it too long. */
static Policy *bind(const Policy *policy)
{
    char *name[POLICY_MAX_PARAMETERS], *value[POLICY_MAX_PARAMETERS], one[] = "1";
    PolicyWith with = {name, value, 0};
    Policy *bound = NULL;
    Fault fault = {""};
    for (size_t i = 0; i < policy->n_parameter; i++)
        if (!policy->parameter[i].fallback || i % 2) {
            name[with.n] = policy->parameter[i].name;
            value[with.n++] = one;
        }
    if (policy_missing(policy, &with))
        abort();
    if (policy_bind(policy, &with, &bound, &fault) && (bound || !fault.text[0]))
        abort();
    return bound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char room[POLICY_MAX_PACKED];
    Policy *form = NULL, *policy = NULL, *back = NULL;
    Fault fault = {""};
    try_wire(data, size);
    if (policy_parse("fuzz.yaml", (Slice){(const char *)data, size}, &form, &fault)) {
        if (form || !fault.text[0])
            abort();
        return 0;
    }
    if (policy_run_tests(form, &fault) && !fault.text[0])
        abort();
    policy = bind(form);
    policy_free(form);
    if (!policy)
        return 0;
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    WireReader reader = WIRE_READER(room, writer.len);
    if (writer.failed || policy_get(&reader, &back) || wire_finish(&reader))
        abort();
    check_same(policy, back);
    check_graphql(policy, back);
    check_bytes(back, (Slice){(const char *)room, writer.len});
    policy_free(back);
    policy_free(policy);
    return 0;
}
