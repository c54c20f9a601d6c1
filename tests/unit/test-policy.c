/* Deciding, explaining, and sending a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/head.h"
#include "policy/policy.h"

#include <errno.h>

static Policy *policy_of(const char *rules)
{
    Policy *policy = NULL;
    Fault fault = {""};
    CLEANUP_MEM char *text = mem_printf("policy: p\n%s", rules);
    if (policy_parse("p.yaml", slice_of(text), &policy, &fault))
        fail_msg("%s", fault.text);
    return policy;
}

static PolicyAnswer ask(const Policy *policy, uint32_t method, const char *path)
{
    return policy_decide(policy, method, slice_of(""), slice_of(path)).answer;
}

static void nothing_is_allowed_that_is_not_named(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow: []\n");
    assert_int_equal(ask(policy, HTTP_GET, "/"), POLICY_NOT_NAMED);
    policy = policy_free(policy);
    policy = policy_of("allow:\n- {method: GET, path: /a/b}\n");
    assert_int_equal(ask(policy, HTTP_GET, "/a/b"), POLICY_ALLOW);
    static const char *const no[] = {"",      "/",    "/a",  "/a/",    "/a/b/", "/a/b/c",
                                     "/a/bb", "/A/b", "a/b", "/x/a/b", "//a/b"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_int_equal(ask(policy, HTTP_GET, no[i]), POLICY_NOT_NAMED);
    static const uint32_t other[] = {HTTP_HEAD,    HTTP_POST,  HTTP_PUT,     HTTP_PATCH, HTTP_DELETE,
                                     HTTP_OPTIONS, HTTP_TRACE, HTTP_CONNECT, HTTP_OTHER, 0};
    for (size_t i = 0; i < COUNT_OF(other); i++)
        assert_int_equal(ask(policy, other[i], "/a/b"), POLICY_NOT_NAMED);
    policy_free(policy);
}

static void one_star_is_one_segment(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: [GET, HEAD], path: '/r/*/x'}\n");
    assert_int_equal(ask(policy, HTTP_GET, "/r/a/x"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_HEAD, "/r/%2E/x"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_GET, "/r//x"), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, HTTP_GET, "/r/x"), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, HTTP_GET, "/r/a/b/x"), POLICY_NOT_NAMED);
    policy_free(policy);
}

static void two_stars_are_one_or_more(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: GET, path: /r/**}\n");
    assert_int_equal(ask(policy, HTTP_GET, "/r/a"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_GET, "/r/a/b/c/"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_GET, "/r"), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, HTTP_GET, "/r/"), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, HTTP_GET, "/rr/a"), POLICY_NOT_NAMED);
    policy_free(policy);
}

static void deny_wins_however_it_is_spelt(void **state)
{
    (void)state;
    Policy *policy = policy_of("deny:\n- {path: /a/secrets}\n- {method: DELETE, path: /a/**}\n"
                               "allow:\n- {method: [GET, POST, DELETE], path: /**}\n");
    static const char *const denied[] = {"/a/secrets",      "/a/secrets/",     "/a/Secrets", "/A/SECRETS/",
                                         "/a/secrets.json", "/a/Secrets.xml/", "/a/secrets."};
    for (size_t i = 0; i < COUNT_OF(denied); i++)
        for (uint32_t method = HTTP_GET; method <= HTTP_OTHER; method <<= 1)
            assert_int_equal(ask(policy, method, denied[i]), POLICY_DENY);
    assert_int_equal(ask(policy, HTTP_GET, "/a/secrets2"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_GET, "/a/secrets.json/x"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_GET, "/a/.secrets"), POLICY_ALLOW);
    assert_int_equal(ask(policy, HTTP_DELETE, "/a/x"), POLICY_DENY);
    assert_int_equal(ask(policy, HTTP_DELETE, "/b/x"), POLICY_ALLOW);
    policy_free(policy);
}

static void a_rule_with_a_host_is_for_that_host_alone(void **state)
{
    (void)state;
    Policy *policy =
        policy_of("allow:\n- {method: GET, host: uploads.example, path: /x}\n- {method: GET, path: /y}\n");
    assert_int_equal(policy_decide(policy, HTTP_GET, slice_of("uploads.example"), slice_of("/x")).answer,
                     POLICY_ALLOW);
    assert_int_equal(policy_decide(policy, HTTP_GET, slice_of(""), slice_of("/x")).answer, POLICY_NOT_NAMED);
    assert_int_equal(policy_decide(policy, HTTP_GET, slice_of("uploads.example"), slice_of("/y")).answer,
                     POLICY_NOT_NAMED);
    policy_free(policy);
}

static void graphql_rules_allow_no_path(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {operations: [query], fields: ['*'], maxDepth: 10}\n");
    assert_int_equal(ask(policy, HTTP_POST, "/graphql"), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, HTTP_POST, ""), POLICY_NOT_NAMED);
    assert_int_equal(ask(policy, 0, "/"), POLICY_NOT_NAMED);
    policy_free(policy);
}

static void a_refusal_says_which_rule_to_add(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: GET, path: /a}\ndeny:\n- {path: '/s/*'}\n");
    Fault said = {""};
    PolicyVerdict verdict = policy_decide(policy, HTTP_GET, slice_of(""), slice_of("/b/c"));
    policy_explain(policy, verdict, "GET", SLICE_LITERAL(""), slice_of("/b/c"), &said);
    assert_string_equal(said.text,
                        "GET /b/c is not named by policy p; if it is meant to be allowed, add to its allow "
                        "list: - {method: GET, path: /b/c}");
    policy_explain(policy, verdict, "GET", SLICE_LITERAL(""), slice_of("/b,'}x"), &said);
    assert_non_null(strstr(said.text, "path: '/b,''}x'}"));
    policy_explain(policy, verdict, "TRACE", SLICE_LITERAL(""), slice_of("/b"), &said);
    assert_string_equal(said.text, "TRACE /b is refused: no policy can allow the method TRACE");
    verdict = policy_decide(policy, HTTP_GET, slice_of(""), slice_of("/s/x"));
    policy_explain(policy, verdict, "GET", SLICE_LITERAL(""), slice_of("/s/x"), &said);
    assert_string_equal(said.text,
                        "GET /s/x is denied by policy p, line 5: deny {path: /s/*}; no allow rule is "
                        "stronger than that");
    char longest[8000];
    memset(longest, '\'', sizeof(longest));
    longest[0] = '/';
    policy_explain(policy, (PolicyVerdict){POLICY_NOT_NAMED, -1}, "GET", SLICE_LITERAL(""),
                   (Slice){longest, sizeof(longest)}, &said);
    assert_non_null(strstr(said.text, "..."));
    policy_free(policy);
}

static void a_policy_survives_the_wire(void **state)
{
    (void)state;
    static unsigned char room[POLICY_MAX_PACKED];
    Policy *policy =
               policy_of("reveal: true\nlease: {requests: 7, rate: 20/s, time: 10m, responseBytes: 1KiB}\n"
                         "allow:\n- {method: [GET, POST], path: /a/*}\n- graphql: {fields: [a, b], "
                         "arguments: {a: {x: [1, 2]}}}\n"
                         "deny:\n- {path: /a/b}\n- {host: h.example, path: /**}\n"),
           *back = NULL;
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    assert_false(writer.failed);
    WireReader reader = WIRE_READER(room, writer.len);
    assert_int_equal(policy_get(&reader, &back), 0);
    assert_int_equal(wire_finish(&reader), 0);
    assert_string_equal(back->name, "p");
    assert_true(back->reveal);
    assert_memory_equal(&back->budget, &policy->budget, sizeof(back->budget));
    assert_int_equal(back->n_rule, 4);
    assert_int_equal(ask(back, HTTP_GET, "/a/b"), POLICY_DENY);
    assert_int_equal(ask(back, HTTP_POST, "/a/c"), POLICY_ALLOW);
    assert_non_null(back->rule[1].graphql);
    back = policy_free(back);
    for (size_t cut = 0; cut < writer.len; cut++) {
        reader = WIRE_READER(room, cut);
        assert_int_equal(policy_get(&reader, &back), -EBADMSG);
    }
    policy_free(policy);
}

/* What no file can hold must not come in by the wire either. */
static void a_wrong_rule_is_refused_from_the_wire(void **state)
{
    (void)state;
    static const struct {
        uint32_t methods;
        const char *host, *path;
    } bad[] = {
        {HTTP_TRACE, "", "/a"},  {0, "", "/a"},           {HTTP_GET, "", ""},
        {HTTP_GET, "", "/**/a"}, {HTTP_GET, "a b", "/a"}, {1u << 31, "", "/a"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        unsigned char room[512];
        Policy policy = {.name = mem_strdup("p"), .rule = MEM_NEW(PolicyRule), .n_rule = 1}, *back = NULL;
        *policy.rule = (PolicyRule){
            .methods = bad[i].methods, .host = mem_strdup(bad[i].host), .path = mem_strdup(bad[i].path)};
        WireWriter writer = WIRE_WRITER(room);
        policy_put(&policy, &writer);
        WireReader reader = WIRE_READER(room, writer.len);
        assert_int_equal(policy_get(&reader, &back), -EBADMSG);
        mem_free(policy.rule->host);
        mem_free(policy.rule->path);
        mem_free(policy.rule);
        mem_free(policy.name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allowed_that_is_not_named),
        cmocka_unit_test(one_star_is_one_segment),
        cmocka_unit_test(two_stars_are_one_or_more),
        cmocka_unit_test(deny_wins_however_it_is_spelt),
        cmocka_unit_test(a_rule_with_a_host_is_for_that_host_alone),
        cmocka_unit_test(graphql_rules_allow_no_path),
        cmocka_unit_test(a_refusal_says_which_rule_to_add),
        cmocka_unit_test(a_policy_survives_the_wire),
        cmocka_unit_test(a_wrong_rule_is_refused_from_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
