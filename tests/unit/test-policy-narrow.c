/* The narrowest policy of what was seen: its rules, and that its own tests hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/graphql-rule.h"
#include "policy/narrow.h"

#include <stdio.h>

#define MAX_SEEN 64

static char text[MAX_SEEN][512];
static PolicySeen seen[MAX_SEEN];
static size_t n_seen;

static int set_up(void **state)
{
    (void)state;
    n_seen = 0;
    return 0;
}

static char none[] = "";

/* "GET /a?page&x" */
static void saw(const char *request)
{
    char *one = text[n_seen];
    snprintf(one, sizeof(text[0]), "%s", request);
    char *path = strchr(one, ' ');
    *path++ = '\0';
    char *query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    seen[n_seen++] = (PolicySeen){one, none, path, query ? query : none, none, none, 1};
}

static void saw_graphql(const char *document, const char *variables)
{
    char *one = text[n_seen];
    size_t n = (size_t)snprintf(one, sizeof(text[0]), "%s", document) + 1;
    snprintf(one + n, sizeof(text[0]) - n, "%s", variables);
    seen[n_seen++] = (PolicySeen){none, none, none, none, one, one + n, 1};
}

/* The text, which must be a policy that passes its own tests. */
static Policy *narrow(const PolicyWith *with, Buf *out)
{
    Policy *policy = NULL, *bound = NULL;
    Fault fault = {""};
    PolicyNarrow what = {"p", "of a test", seen, n_seen, with, 10, 5000};
    if (policy_narrow(&what, out, &fault))
        fail_msg("%s", fault.text);
    if (policy_parse("p.yaml", buf_slice(out), &policy, &fault) || policy_run_tests(policy, &fault))
        fail_msg("%s: %s", fault.text, buf_text(out));
    assert_true(policy->n_test >= n_seen);
    if (policy_bind(policy, &(PolicyWith){0}, &bound, &fault))
        fail_msg("%s", fault.text);
    policy_free(policy);
    return bound;
}

static bool allows(const Policy *policy, uint32_t method, const char *path, const char *query)
{
    PolicyRequest request = {.method = method, .path = slice_of(path), .query = slice_of(query)};
    return policy_decide(policy, &request).answer == POLICY_ALLOW;
}

static void ids_become_stars_where_several_were_seen(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    saw("GET /repos/acme/web/actions/runs?page&per_page");
    saw("GET /repos/acme/web/actions/runs?status");
    saw("GET /repos/acme/web/actions/workflows");
    saw("GET /repos/acme/web/actions/runs/17/attempts/1/jobs");
    saw("GET /repos/acme/web/actions/runs/18/attempts/1/jobs");
    saw("GET /repos/acme/web/actions/runs/19/attempts/2/jobs");
    saw("GET /repos/acme/web/actions/jobs/9");
    saw("HEAD /repos/acme/api");
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, 5);
    assert_non_null(
        strstr(buf_text(&out),
               "- {method: GET, path: '/repos/acme/web/actions/runs/*/attempts/*/jobs', query: []}\n"));
    assert_non_null(
        strstr(buf_text(&out), "path: /repos/acme/web/actions/runs, query: [page, per_page, status]}"));
    assert_non_null(strstr(buf_text(&out), "# only 9 was seen there; '*' is any"));
    assert_true(allows(policy, HTTP_GET, "/repos/acme/web/actions/runs/20/attempts/3/jobs", ""));
    static const char *const no[] = {"/repos/acme/web/actions/secrets", "/repos/acme/web/actions/jobs/10",
                                     "/repos/acme/api", "/repos/acme/web/actions/runs/20/logs", "/"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false(allows(policy, HTTP_GET, no[i], ""));
    assert_false(allows(policy, HTTP_GET, "/repos/acme/web/actions/runs", "event"));
    assert_false(allows(policy, HTTP_POST, "/repos/acme/web/actions/runs", ""));
    policy_free(policy);
}

static void values_that_were_given_stay(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    char name[] = "project", value[] = "7", *names[] = {name}, *values[] = {value};
    const PolicyWith with = {names, values, 1};
    saw("GET /projects/7/jobs/1");
    saw("GET /projects/7/jobs/2");
    saw("GET /projects/8/jobs/3");
    Policy *policy = narrow(&with, &out);
    assert_non_null(strstr(buf_text(&out), "path: '/projects/7/jobs/*'"));
    assert_true(allows(policy, HTTP_GET, "/projects/8/jobs/3", ""));
    assert_false(allows(policy, HTTP_GET, "/projects/9/jobs/3", ""));
    policy_free(policy);
}

static void words_stay_unless_they_are_many(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    char path[64];
    for (int i = 0; i < POLICY_NARROW_VALUES; i++) {
        snprintf(path, sizeof(path), "GET /few/%c/runs?page", 'a' + i);
        saw(path);
    }
    for (int i = 0; i <= POLICY_NARROW_VALUES; i++) {
        snprintf(path, sizeof(path), "GET /many/%c/runs?%c", 'a' + i, 'a' + i % 2);
        saw(path);
    }
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, POLICY_NARROW_VALUES + 1);
    assert_false(allows(policy, HTTP_GET, "/few/z/runs", ""));
    assert_true(allows(policy, HTTP_GET, "/many/z/runs", "a=1&b=2"));
    policy_free(policy);
}

static void what_is_hard_to_write_is_written(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    saw("GET /it's/%C3%A4%20b/x:y,z?a%5B%5D&a%5B%5D&b+c");
    saw("GET /twice?page&page");
    saw("GET /true?no&on&null&1");
    saw("GET /any/*");
    saw("GET /");
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, 4);
    assert_true(allows(policy, HTTP_GET, "/it's/%C3%A4%20b/x:y,z", "a%5B%5D=1&a[]=2&b%20c"));
    assert_true(allows(policy, HTTP_GET, "/twice", "page&page"));
    assert_true(allows(policy, HTTP_GET, "/true", "null=1&1=1"));
    assert_false(allows(policy, HTTP_GET, "/any/x", ""));
    policy_free(policy);
}

static bool allows_graphql(const Policy *policy, const char *document)
{
    GraphqlArena arena;
    GraphqlChosen chosen;
    Fault why = {""};
    GraphqlRequest request = {.query = slice_of(document)};
    graphql_arena_init(&arena);
    if (graphql_read(&arena, &request, &chosen, &why))
        fail_msg("%s", why.text);
    PolicyAnswer answer = policy_decide_graphql(policy, &chosen).answer;
    graphql_arena_done(&arena);
    return answer == POLICY_ALLOW;
}

static void graphql_keeps_what_was_asked_of_each_root(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    saw_graphql("query Q($o: String!, $after: String) { repository(owner: $o, name: \"web\") { name "
                "runs(first: 50, after: $after) { nodes { id } } } rateLimit { cost } }",
                "{o: \"acme\"}");
    saw_graphql("query Q($o: String!, $after: String) { repository(owner: $o, name: \"api\") { "
                "runs(first: 50, after: $after) { nodes { id state } } } }",
                "{o: \"acme\", after: \"x\\\"y\"}");
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, 2);
    assert_non_null(strstr(buf_text(&out), "arguments: {repository: {owner: [acme], name: [api, web]}}"));
    assert_true(
        allows_graphql(policy, "{repository(owner: \"acme\", name: \"api\") {runs {nodes {id state}}}}"));
    static const char *const no[] = {"{repository(owner: \"other\", name: \"api\") {name}}",
                                     "{repository(owner: \"acme\", name: \"api\") {secrets}}",
                                     "{viewer {name}}",
                                     "{rateLimit {nodes}}",
                                     "mutation {repository {name}}",
                                     "{a: repository(owner: \"acme\", name: \"api\") {name}}"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (allows_graphql(policy, no[i]))
            fail_msg("%s: %s", no[i], buf_text(&out));
    policy_free(policy);
}

/* Beneath a field that was seen to lead on from another place no more is said than in `subfields`. */
static void graphql_says_where_what_was_seen_ended(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    saw_graphql("{ repository { pulls { nodes { author { ...A on: __typename } } } last { nodes { id } } } } "
                "fragment A on Actor { ... on User { login } }",
                "");
    saw_graphql("{ repository { author { null } name { __typename } pulls { id } } }", "");
    Policy *policy = narrow(NULL, &out);
    assert_non_null(strstr(buf_text(&out), "\n    beneath: {author: [login, 'null']}\n"));
    assert_true(allows_graphql(policy, "{repository {last {nodes {author {null __typename}}}}}"));
    static const char *const no[] = {"{repository {author {id}}}", "{repository {author {nodes {id}}}}",
                                     "{repository {pulls {nodes {author {pulls {id}}}}}}"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (allows_graphql(policy, no[i]))
            fail_msg("%s: %s", no[i], buf_text(&out));
    policy_free(policy);
}

/* What YAML would read otherwise, or not at all. */
static void what_a_document_may_hold_is_written(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    saw_graphql("{ a(empty: \"\", bell: \"\\u0007\", ends: \"x\\ry\", line: \"l\xE2\x80\xA8m\") { b } }", "");
    saw_graphql("query Q($v: V) { c(v: $v, w: "
                "\"\x7F\xC2\x80\xEF\xBB\xBF\xE2\x80\xA9\xEF\xBF\xBF\xF0\x9F\x98\x80\") { d } }",
                "{v: {k: [\"\x7F\xC2\x80\xEF\xBB\xBF\xE2\x80\xA9\xEF\xBF\xBF\xF0\x9F\x98\x80\", "
                "\"l\xE2\x80\xA8m\"]}}");
    saw_graphql("{ null(true: \"no\") { on } }", "");
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, 3);
    assert_true(allows_graphql(policy, "{a(empty: \"other\", line: \"l\xE2\x80\xA8m\") {b}}"));
    assert_false(allows_graphql(policy, "{a(line: \"l m\") {b}}"));
    assert_true(allows_graphql(policy, "{null(true: \"no\") {on}}"));
    assert_false(allows_graphql(policy, "{null(true: \"yes\") {on}}"));
    policy_free(policy);
}

/* Each page of a list has variables of its own, and documents can be long: as many tests as there are would
 * not go into a policy's file. */
static void many_documents_are_as_many_tests_as_a_file_can_hold(void **state)
{
    (void)state;
    enum { PAGES = 60, LONG = 10, MOST = 20000 };
    static char document[LONG + 1][MOST], variables[PAGES][32];
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    PolicySeen many[PAGES + LONG];
    Policy *policy = NULL;
    Fault fault = {""};
    snprintf(document[LONG], MOST, "query Q($p: String) { pages(p: $p) { %*s b } }", 1500, "");
    for (int i = 0; i < PAGES; i++) {
        snprintf(variables[i], sizeof(variables[i]), "{p: \"%d\"}", i);
        many[i] = (PolicySeen){none, none, none, none, document[LONG], variables[i], 1};
    }
    for (int i = 0; i < LONG; i++) {
        snprintf(document[i], MOST, "{ long%d { %*s d } }", i, 19000, "");
        many[PAGES + i] = (PolicySeen){none, none, none, none, document[i], none, 1};
    }
    PolicyNarrow what = {"p", "of a test", many, PAGES + LONG, NULL, 10, 5000};
    assert_int_equal(policy_narrow(&what, &out, &fault), 0);
    if (policy_parse("p.yaml", buf_slice(&out), &policy, &fault) || policy_run_tests(policy, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(policy->n_rule, 1 + LONG);
    assert_int_equal(policy->n_test, 1 + 3 + 2); /* the pages', three that are long, what is always refused */
    policy_free(policy);
}

static void nothing_seen_is_nothing_allowed(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(1u << 20);
    Policy *policy = narrow(NULL, &out);
    assert_int_equal(policy->n_rule, 0);
    policy_free(policy);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_become_stars_where_several_were_seen),
        TEST(values_that_were_given_stay),
        TEST(words_stay_unless_they_are_many),
        TEST(what_is_hard_to_write_is_written),
        TEST(graphql_keeps_what_was_asked_of_each_root),
        TEST(graphql_says_where_what_was_seen_ended),
        TEST(what_a_document_may_hold_is_written),
        TEST(many_documents_are_as_many_tests_as_a_file_can_hold),
        TEST(nothing_seen_is_nothing_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
