/* Deciding, explaining, and sending a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/head.h"
#include "policy/policy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static Policy *policy_of(const char *rules)
{
    Policy *policy = NULL;
    Fault fault = {""};
    CLEANUP_MEM char *text = mem_printf("policy: p\n%s", rules);
    if (policy_parse("p.yaml", slice_of(text), &policy, &fault))
        fail_msg("%s", fault.text);
    return policy;
}

static PolicyVerdict decide(const Policy *policy, uint32_t method, const char *host, const char *path)
{
    PolicyRequest request = {.method = method, .host = slice_of(host), .path = slice_of(path)};
    return policy_decide(policy, &request);
}

static PolicyAnswer ask(const Policy *policy, uint32_t method, const char *path)
{
    return decide(policy, method, "", path).answer;
}

static const char *explain(const Policy *policy, PolicyVerdict verdict, const char *method, Slice path)
{
    static Fault said;
    PolicyRequest request = {.host = slice_of(""), .path = path};
    policy_explain(policy, &verdict, method, &request, &said);
    return said.text;
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

static void deny_takes_an_encoded_slash_for_one(void **state)
{
    (void)state;
    Policy *policy = policy_of("deny:\n- {path: '/p/*/secrets'}\n- {path: '/q/**'}\nallow:\n"
                               "- {method: GET, path: '/p/*'}\n- {method: GET, path: '/p/*/jobs'}\n"
                               "- {method: GET, path: '/p/a%2Fb'}\n- {method: GET, path: '/**'}\n");
    assert_int_equal(ask(policy, HTTP_GET, "/p/a%2Fb/jobs"), POLICY_ALLOW);
    assert_int_equal(decide(policy, HTTP_GET, "", "/p/a%2Fb").rule, 0);
    assert_int_equal(ask(policy, HTTP_GET, "/p/a%2Fsecrets"), POLICY_DENY);
    assert_int_equal(ask(policy, HTTP_GET, "/p/a%2FSECRETS/"), POLICY_DENY);
    assert_int_equal(ask(policy, HTTP_GET, "/q%2Fx"), POLICY_DENY);
    policy_free(policy);
}

static void a_rule_with_a_host_is_for_that_host_alone(void **state)
{
    (void)state;
    Policy *policy =
        policy_of("allow:\n- {method: GET, host: uploads.example, path: /x}\n- {method: GET, path: /y}\n");
    assert_int_equal(decide(policy, HTTP_GET, "uploads.example", "/x").answer, POLICY_ALLOW);
    assert_int_equal(decide(policy, HTTP_GET, "", "/x").answer, POLICY_NOT_NAMED);
    assert_int_equal(decide(policy, HTTP_GET, "uploads.example", "/y").answer, POLICY_NOT_NAMED);
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
    PolicyVerdict verdict = decide(policy, HTTP_GET, "", "/b/c");
    assert_string_equal(explain(policy, verdict, "GET", slice_of("/b/c")),
                        "GET /b/c is not named by policy p; if it is meant to be allowed, add to its allow "
                        "list: - {method: GET, path: /b/c}");
    assert_non_null(strstr(explain(policy, verdict, "GET", slice_of("/b,'}x")), "path: '/b,''}x'}"));
    assert_string_equal(explain(policy, verdict, "TRACE", slice_of("/b")),
                        "TRACE /b is refused: no policy can allow the method TRACE");
    assert_string_equal(explain(policy, decide(policy, HTTP_GET, "", "/s/x"), "GET", slice_of("/s/x")),
                        "GET /s/x is denied by policy p, line 5: deny {path: /s/*}; no allow rule is "
                        "stronger than that");
    char longest[8000];
    memset(longest, '\'', sizeof(longest));
    longest[0] = '/';
    assert_non_null(strstr(explain(policy, verdict, "GET", (Slice){longest, sizeof(longest)}), "..."));
    policy_free(policy);
}

static PolicyVerdict ask_query(const Policy *policy, const char *query)
{
    PolicyRequest request = {.method = HTTP_GET, .path = slice_of("/a"), .query = slice_of(query)};
    return policy_decide(policy, &request);
}

static void a_rule_may_name_its_query_parameters(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: GET, path: /a, query: [page, 'state[]', 'a b']}\n"
                               "- {method: GET, path: /b}\n");
    static const char *const yes[] = {"",          "page",          "page=1",
                                      "a+b=1",     "a%20b=1&page=", "state[]=x&state[]=y",
                                      "page=%3F&", "p%61ge=1",      "state%5B%5D=x&state[]=y&page=2"};
    static const struct {
        const char *query;
        PolicyWhy why;
        const char *what;
    } no[] = {
        {"per_page=1", POLICY_WHY_QUERY, "per_page"}, {"page=1&x", POLICY_WHY_QUERY, "x"},
        {"Page=1", POLICY_WHY_QUERY, "Page"},         {"=1", POLICY_WHY_QUERY, ""},
        {"page=1&page=2", POLICY_WHY_TWICE, "page"},  {"page=1&p%61ge=2", POLICY_WHY_TWICE, "p%61ge"},
        {"a+b&a%20b", POLICY_WHY_TWICE, "a%20b"},     {"%00page=1", POLICY_WHY_BROKEN, "%00page"},
        {"%FF=1", POLICY_WHY_BROKEN, "%FF"},          {"page%0A=1", POLICY_WHY_BROKEN, "page%0A"},
        {"page%3D1=1", POLICY_WHY_QUERY, "page%3D1"}, {"state=x", POLICY_WHY_QUERY, "state"},
    };
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (ask_query(policy, yes[i]).answer != POLICY_ALLOW)
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++) {
        PolicyVerdict verdict = ask_query(policy, no[i].query);
        if (verdict.answer != POLICY_NOT_NAMED || verdict.why != no[i].why ||
            !slice_is(verdict.what, no[i].what))
            fail_msg("%s: %d", no[i].query, verdict.why);
        assert_int_equal(verdict.rule, -1);
        assert_int_equal(verdict.near, 0);
    }
    char longest[300];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(ask_query(policy, longest).why, POLICY_WHY_BROKEN);
    assert_string_equal(
        explain(policy, ask_query(policy, "page&x=1"), "GET", slice_of("/a")),
        "GET /a has the query parameter 'x', which policy p, line 3, does not allow (it allows: "
        "a b, page, state[]); if it is meant to be allowed, add it to that rule's 'query'");
    assert_non_null(strstr(explain(policy, ask_query(policy, "page&page"), "GET", slice_of("/a")),
                           "has the query parameter 'page' twice"));
    policy_free(policy);
}

static void a_rule_without_parameters_takes_none(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: GET, path: /a, query: []}\n"), *back = NULL;
    assert_int_equal(ask_query(policy, "").answer, POLICY_ALLOW);
    assert_int_equal(ask_query(policy, "x").answer, POLICY_NOT_NAMED);
    unsigned char room[200];
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    WireReader reader = WIRE_READER(room, writer.len);
    assert_int_equal(policy_get(&reader, &back), 0);
    assert_int_equal(ask_query(back, "x").answer, POLICY_NOT_NAMED);
    policy_free(back);
    policy_free(policy);
}

static PolicyVerdict ask_header(const Policy *policy, const char *name, const char *a, const char *b)
{
    HttpHeader header[] = {{slice_of(name), slice_of(a)}, {slice_of(name), slice_of(b)}};
    PolicyRequest request = {.method = HTTP_POST,
                             .path = slice_of("/a"),
                             .header = header,
                             .n_header = (a != NULL) + (b != NULL),
                             .has_body = true};
    return policy_decide(policy, &request);
}

static void a_rule_may_name_media_types(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: POST, path: /a, accept: [application/JSON]}\n");
    static const char *const yes[] = {
        "application/json", "Application/Json; q=0.5, application/json;charset=utf-8", " application/json ,"};
    static const char *const no[] = {"",
                                     "*/*",
                                     "application/*",
                                     "text/html",
                                     "application",
                                     "application/json, text/plain;q=0.1",
                                     ",",
                                     "application/json;v=2"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_int_equal(ask_header(policy, "aCCept", yes[i], NULL).answer, POLICY_ALLOW);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_int_equal(ask_header(policy, "Accept", no[i], NULL).why, POLICY_WHY_ACCEPT);
    assert_int_equal(ask_header(policy, "Accept", NULL, NULL).why, POLICY_WHY_ACCEPT);
    assert_int_equal(ask_header(policy, "Accept", yes[0], "text/html").why, POLICY_WHY_ACCEPT);
    policy = policy_free(policy);
    policy = policy_of("allow:\n- {method: POST, path: /a, accept: ['*', a/b], contentType: [a/b]}\n");
    assert_int_equal(ask_header(policy, "Content-Type", "a/b; charset=utf-8; boundary=x", NULL).answer,
                     POLICY_ALLOW);
    assert_int_equal(ask_header(policy, "Content-Type", "a/b", "a/b").why, POLICY_WHY_CONTENT_TYPE);
    assert_int_equal(ask_header(policy, "Content-Type", "a/c", NULL).why, POLICY_WHY_CONTENT_TYPE);
    assert_int_equal(ask_header(policy, "Content-Type", NULL, NULL).why, POLICY_WHY_CONTENT_TYPE);
    PolicyRequest bare = {.method = HTTP_POST, .path = slice_of("/a")};
    assert_int_equal(policy_decide(policy, &bare).answer, POLICY_ALLOW);
    policy_free(policy);
}

/* Of several rules with one path the one that allows counts, and of those the first. */
static void the_first_rule_that_allows_decides(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- {method: GET, path: '/**', query: [z]}\n"
                               "- {method: GET, path: /a, query: [x]}\n"
                               "- {method: GET, path: '/*', query: [y], responseBytes: 1KiB}\n"
                               "- {method: GET, path: /a, query: [x, y], responseBytes: 2KiB}\n");
    assert_int_equal(ask_query(policy, "x").rule, 1);
    assert_int_equal(ask_query(policy, "y").rule, 2);
    assert_int_equal(ask_query(policy, "x&y").rule, 3);
    assert_int_equal(ask_query(policy, "z").rule, 0);
    assert_int_equal(ask_query(policy, "").rule, 0);
    assert_int_equal(policy->rule[2].shape.response_bytes, 1024);
    policy_free(policy);
}

/* Every rule, one after the other, segment by segment: what the order must come to as well. */
static PolicyVerdict scan(const Policy *policy, Slice path)
{
    PolicyVerdict verdict = {POLICY_NOT_NAMED, -1, POLICY_WHY_PATH, -1, {"", 0}};
    for (size_t i = 0; i < policy->n_rule; i++) {
        const PolicyRule *rule = &policy->rule[i];
        char pattern[64], lower[64];
        snprintf(pattern, sizeof(pattern), "%s", rule->path);
        snprintf(lower, sizeof(lower), "%.*s", (int)path.len, path.ptr);
        for (size_t k = 0; rule->deny && k < sizeof(lower); k++) {
            pattern[k] = (char)tolower(pattern[k]);
            lower[k] = (char)tolower(lower[k]);
        }
        bool hit = policy_path_matches(pattern, slice_of(lower));
        size_t bare = path.len - (path.len > 1 && path.ptr[path.len - 1] == '/');
        const char *point = memrchr(lower, '.', bare);
        bool suffix = point && point[-1] != '/' && !memchr(point, '/', bare - (size_t)(point - lower));
        if (!hit && rule->deny)
            hit = policy_path_matches(pattern, (Slice){lower, bare}) ||
                  (suffix && policy_path_matches(pattern, (Slice){lower, (size_t)(point - lower)}));
        if (hit && (rule->deny ? verdict.answer != POLICY_DENY : verdict.answer == POLICY_NOT_NAMED))
            verdict = (PolicyVerdict){rule->deny ? POLICY_DENY : POLICY_ALLOW, (int32_t)i};
    }
    return verdict;
}

static void write_path(char *out, bool pattern)
{
    static const char *const word[] = {"a", "b", "A", "ab", "a-", "a.b", "*", "**", "%2B", "B"};
    unsigned n = 1 + (unsigned)rand() % 4;
    *out = '\0';
    for (unsigned i = 0; i < n; i++) {
        unsigned k = (unsigned)rand() % COUNT_OF(word);
        if (pattern && k == 7 && i + 1 < n)
            k = 6;
        strcat(strcat(out, "/"), word[k]);
    }
    if (rand() % 6 == 0 && (!pattern || !strstr(out, "**")))
        strcat(out, "/");
}

static void the_order_decides_as_a_scan_of_all_rules(void **state)
{
    (void)state;
    size_t allowed = 0, denied = 0;
    srand(7);
    for (unsigned round = 0; round < 60; round++) {
        CLEANUP_BUF Buf text = BUF_INIT(1u << 16);
        char path[64];
        assert_int_equal(buf_append_text(&text, "allow:\n"), 0);
        for (int i = 0; i < 60; i++) {
            write_path(path, true);
            assert_int_equal(i == 45 ? buf_append_text(&text, "deny:\n") : 0, 0);
            assert_int_equal(buf_printf(&text, "- {method: GET, path: '%s'}\n", path), 0);
        }
        Policy *policy = policy_of(buf_text(&text));
        for (unsigned i = 0; i < 1000; i++) {
            write_path(path, false);
            PolicyVerdict want = scan(policy, slice_of(path)), have = decide(policy, HTTP_GET, "", path);
            if (want.answer != have.answer || want.rule != have.rule)
                fail_msg("%s: rule %d, not %d, of\n%s", path, have.rule, want.rule, buf_text(&text));
            allowed += have.answer == POLICY_ALLOW;
            denied += have.answer == POLICY_DENY;
        }
        policy_free(policy);
    }
    assert_true(allowed > 1000 && denied > 1000);
}

static void a_policy_survives_the_wire(void **state)
{
    (void)state;
    static unsigned char room[POLICY_MAX_PACKED];
    Policy *policy =
               policy_of("reveal: true\nlease: {requests: 7, rate: 20/s, time: 10m, responseBytes: 1KiB}\n"
                         "allow:\n- {method: [GET, POST], path: /a/*, query: [b, a], accept: ['*', x/y], "
                         "contentType: [a/b], responseBytes: 1MiB}\n- graphql: {fields: [a, b], "
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
    const PolicyShape *shape = &back->rule[0].shape;
    assert_true(shape->names_query && shape->n_query == 2 && shape->response_bytes == 1u << 20);
    assert_string_equal(shape->query[0], "a");
    assert_string_equal(shape->accept[1], "x/y");
    assert_string_equal(shape->content_type[0], "a/b");
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
    char one[] = "a", two[] = "b", upper[] = "A/B";
    const struct {
        uint32_t methods;
        const char *host, *path;
        bool deny;
        PolicyShape shape;
    } bad[] = {
        {HTTP_TRACE, "", "/a"},
        {0, "", "/a"},
        {HTTP_GET, "", ""},
        {HTTP_GET, "", "/**/a"},
        {HTTP_GET, "a b", "/a"},
        {1u << 15, "", "/a"},
        {HTTP_GET, "", "/a", true, {.response_bytes = 1}},
        {HTTP_GET, "", "/a", false, {.query = (char *[]){one}, .n_query = 1}},
        {HTTP_GET, "", "/a", false, {.names_query = true, .query = (char *[]){two, one}, .n_query = 2}},
        {HTTP_GET, "", "/a", false, {.names_query = true, .query = (char *[]){one, one}, .n_query = 2}},
        {HTTP_GET, "", "/a", false, {.accept = (char *[]){one}, .n_accept = 1}},
        {HTTP_GET, "", "/a", false, {.content_type = (char *[]){upper}, .n_content_type = 1}},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        unsigned char room[512];
        Policy policy = {.name = mem_strdup("p"), .rule = MEM_NEW(PolicyRule), .n_rule = 1}, *back = NULL;
        *policy.rule = (PolicyRule){.methods = bad[i].methods,
                                    .deny = bad[i].deny,
                                    .shape = bad[i].shape,
                                    .host = mem_strdup(bad[i].host),
                                    .path = mem_strdup(bad[i].path)};
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
        cmocka_unit_test(deny_takes_an_encoded_slash_for_one),
        cmocka_unit_test(a_rule_with_a_host_is_for_that_host_alone),
        cmocka_unit_test(graphql_rules_allow_no_path),
        cmocka_unit_test(a_refusal_says_which_rule_to_add),
        cmocka_unit_test(a_rule_may_name_its_query_parameters),
        cmocka_unit_test(a_rule_without_parameters_takes_none),
        cmocka_unit_test(a_rule_may_name_media_types),
        cmocka_unit_test(the_first_rule_that_allows_decides),
        cmocka_unit_test(the_order_decides_as_a_scan_of_all_rules),
        cmocka_unit_test(a_policy_survives_the_wire),
        cmocka_unit_test(a_wrong_rule_is_refused_from_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
