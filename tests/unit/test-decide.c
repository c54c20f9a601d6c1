/* What the keeper decides, whatever a gate says. */
#include "base/clock.h"
#include "base/mem.h"
#include "http/target.h"
#include "keeper/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char policy_text[] = "policy: p\n"
                                  "lease: {requests: 5, rate: 1000/s}\n"
                                  "allow:\n"
                                  "- {method: GET, path: /repos/*/*/actions/**}\n"
                                  "- {method: POST, path: /search}\n"
                                  "- {method: [GET, DELETE], path: /small, query: [page, _method], "
                                  "accept: [a/json], responseBytes: 1000}\n"
                                  "- {method: DELETE, path: '/*', responseBytes: 500}\n"
                                  "- graphql: {fields: [rateLimit]}\n"
                                  "- {method: GET, host: uploads.example, path: /files/**}\n"
                                  "deny:\n"
                                  "- graphql: {fields: [secret]}\n"
                                  "- {path: /repos/*/*/actions/secrets/**}\n";

typedef struct Case {
    Source source[2];
    Policy *policy;
    Grant grant[2];
    unsigned char key[LEASE_KEY];
    char lease[2][LEASE_MAX_TEXT];
    HttpHead head;
    StreamRequest request;
    Refused refused;
    Decided decided;
    Narrowed narrowed;
    Redirects redirects;
    bool artifact;
} Case;

static Case self;

static int set_up(void **state)
{
    (void)state;
    Fault fault;
    clock_set_for_test(1600000000000000, 1000000);
    memset(&self, 0, sizeof(self));
    static char name[] = "github", other[] = "other", host[] = "ghe.example", base[] = "/api/v3", none[] = "";
    static char graphql[] = "/api/graphql";
    static SourceHost others[] = {
        {HOST_GRAPHQL, {true, (char *)"graph.example", 443, none}},
        {HOST_RULE, {true, (char *)"uploads.example", 443, none}},
        {HOST_ARTIFACT, {true, (char *)"*.blob.example", 443, none}},
    };
    self.source[0] = (Source){.name = name,
                              .api = {true, host, 443, base},
                              .other = others,
                              .n_other = COUNT_OF(others),
                              .graphql_path = graphql,
                              .auth = {.user = none, .header = none}};
    self.source[1] = self.source[0];
    self.source[1].name = other;
    int r = policy_parse("p.yaml", SLICE_LITERAL(policy_text), &self.policy, &fault);
    if (r)
        fprintf(stderr, "%s\n", fault.text);
    lease_key_make(self.key);
    for (uint32_t i = 0; i < 2; i++) {
        self.grant[i] = (Grant){.source = i, .origin = &self.source[i], .policy = self.policy};
        memset(self.grant[i].id, (int)i + 1, LEASE_ID);
        budget_init(&self.grant[i].budget, &self.policy->budget, 60 * CLOCK_SECOND, clock_mono());
        lease_issue(self.key, self.grant[i].id, self.lease[i]);
    }
    return r;
}

static int tear_down(void **state)
{
    (void)state;
    self.policy = policy_free(self.policy);
    clock_set_for_test(-1, -1);
    return 0;
}

static void header(const char *name, const char *value)
{
    self.head.header[self.head.n_header++] = (HttpHeader){slice_of(name), slice_of(value)};
}

static bool ask(const char *method, const char *target)
{
    const char *query = strchr(target, '?');
    self.request.method = http_method(slice_of(method));
    self.request.method_text = slice_of(method);
    self.request.target = slice_of(target);
    self.request.path_len = (uint32_t)(query ? (size_t)(query - target) : strlen(target));
    if (!self.request.credential.ptr)
        self.request.credential = slice_of(self.lease[0]);
    DecideRequest decide = {.key = self.key,
                            .grant = self.grant,
                            .n_grant = 2,
                            .redirects = &self.redirects,
                            .artifact = self.artifact,
                            .request = &self.request,
                            .head = &self.head,
                            .now = clock_mono(),
                            .wall = clock_wall(),
                            .narrowed = &self.narrowed};
    self.refused = (Refused){0};
    return decide_request(&decide, &self.decided, &self.refused);
}

static void assert_refused(Refusal refusal, const char *method, const char *target)
{
    if (ask(method, target))
        fail_msg("%s %s is allowed", method, target);
    if (self.refused.refusal != refusal)
        fail_msg("%s %s: code %s (%s), not %s", method, target, refusal_kind(self.refused.refusal)->code,
                 self.refused.fault.text, refusal_kind(refusal)->code);
    assert_true(self.refused.fault.text[0]);
}

static void what_the_policy_names_is_allowed(void **state)
{
    (void)state;
    assert_true(ask("GET", "/api/v3/repos/a/b/actions/runs?page=2"));
    assert_ptr_equal(self.decided.grant, &self.grant[0]);
    assert_int_equal(self.grant[0].budget.requests, 1);
}

static void what_it_does_not_name_or_denies_is_refused(void **state)
{
    (void)state;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/user");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "DELETE", "/api/v3/repos/a/b/actions/runs");
    assert_refused(REFUSAL_PATH_DENIED, "GET", "/api/v3/repos/a/b/actions/secrets/X");
    assert_int_equal(self.grant[0].budget.requests, 0);
}

static void the_path_must_lie_beneath_the_sources_base(void **state)
{
    (void)state;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/repos/a/b/actions/runs");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3x/repos/a/b/actions/runs");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api");
}

static void a_target_that_is_not_normal_is_refused(void **state)
{
    (void)state;
    static const char *const target[] = {"/api/v3/repos/a/b/actions/runs/../../secrets",
                                         "/api/v3/repos/a/b/actions/%2e%2e/secrets",
                                         "/api/v3//repos/a/b/actions/runs",
                                         "/api/v3/repos/a/b/actions%2Fruns",
                                         "/api/v3/repos/a/b/actions/%72uns",
                                         "/api/v3/repos/a/b/actions/runs;x=1",
                                         "https://ghe.example/api/v3/repos/a/b/actions/runs",
                                         "/api/v3/repos/a/b/actions/runs#x"};
    for (size_t i = 0; i < COUNT_OF(target); i++)
        assert_refused(REFUSAL_BAD_REQUEST, "GET", target[i]);
}

static void a_credential_parameter_is_refused_since_the_gate_takes_them_out(void **state)
{
    (void)state;
    assert_refused(REFUSAL_BAD_REQUEST, "GET", "/api/v3/repos/a/b/actions/runs?access_token=x");
}

static void no_lease_and_what_is_not_one_is_401(void **state)
{
    (void)state;
    self.request.credential = SLICE_LITERAL("");
    assert_refused(REFUSAL_NO_LEASE, "GET", "/api/v3/repos/a/b/actions/runs");
    self.request.credential = SLICE_LITERAL("ghp_realtoken");
    assert_refused(REFUSAL_NOT_A_LEASE, "GET", "/api/v3/repos/a/b/actions/runs");
    assert_int_equal(refusal_kind(REFUSAL_NOT_A_LEASE)->status, 401);
    assert_null(strstr(self.refused.fault.text, "ghp_"));
}

static void another_runs_lease_is_401(void **state)
{
    (void)state;
    unsigned char key[LEASE_KEY];
    char lease[LEASE_MAX_TEXT];
    lease_key_make(key);
    lease_issue(key, self.grant[0].id, lease);
    self.request.credential = slice_of(lease);
    assert_refused(REFUSAL_FOREIGN_LEASE, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void another_sources_lease_is_403(void **state)
{
    (void)state;
    self.request.credential = slice_of(self.lease[1]);
    assert_refused(REFUSAL_WRONG_SOURCE, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void a_caveat_that_is_not_known_refuses_everything(void **state)
{
    (void)state;
    static const char *const caveat[] = {"paths=/x", "path=x", "requests=many", "x"};
    char narrow[LEASE_MAX_TEXT];
    for (size_t i = 0; i < COUNT_OF(caveat); i++) {
        assert_int_equal(lease_narrow(slice_of(self.lease[0]), caveat[i], narrow), 0);
        self.request.credential = slice_of(narrow);
        assert_refused(REFUSAL_CAVEAT, "GET", "/api/v3/repos/a/b/actions/runs");
    }
}

static void after_its_time_and_when_revoked_a_lease_is_401(void **state)
{
    (void)state;
    clock_set_for_test(1600000000000000, 1000000 + 61 * CLOCK_SECOND);
    assert_refused(REFUSAL_EXPIRED, "GET", "/api/v3/repos/a/b/actions/runs");
    clock_set_for_test(1600000000000000, 1000000);
    self.grant[0].budget.revoked = true;
    assert_refused(REFUSAL_REVOKED, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void a_budget_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_true(ask("GET", "/api/v3/repos/a/b/actions/runs"));
    assert_refused(REFUSAL_REQUESTS, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void no_credential_goes_on_options_trace_connect(void **state)
{
    (void)state;
    static const char *const method[] = {"OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"};
    for (size_t i = 0; i < COUNT_OF(method); i++)
        assert_refused(REFUSAL_METHOD, method[i], "/api/v3/repos/a/b/actions/runs");
}

static void a_method_override_counts_as_method(void **state)
{
    (void)state;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/repos/a/b/actions/runs?_method=DELETE");
    assert_refused(REFUSAL_METHOD, "GET", "/api/v3/repos/a/b/actions/runs?_method=TRACE");
    static const char *const name[] = {"X-HTTP-Method-Override", "x-http-method", "X-Method-Override"};
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        self.head.n_header = 0;
        header(name[i], "DELETE");
        assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/repos/a/b/actions/runs");
        self.head.header[0].value = SLICE_LITERAL("GET");
        assert_true(ask("GET", "/api/v3/repos/a/b/actions/runs"));
    }
    self.head.n_header = 0;
    header("X-HTTP-Method-Override", "GET");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "POST", "/api/v3/repos/a/b/actions/runs");
}

static void assert_graphql(bool is, const char *method, const char *target)
{
    assert_int_equal(ask(method, target), is);
    assert_int_equal(decide_is_graphql(&self.request, &self.source[0]), is);
}

/* However it is spelt: what is asked there is decided by its body, and never by a rule for paths. */
static void graphql_is_known_wherever_it_is(void **state)
{
    (void)state;
    assert_graphql(true, "POST", "/api/graphql");
    assert_graphql(true, "GET", "/api/graphql?query=x");
    assert_graphql(true, "POST", "/api/graphql/");
    assert_graphql(true, "POST", "/api/GraphQL");
    assert_graphql(false, "POST", "/api/graphqlx");
    assert_refused(REFUSAL_GRAPHQL_UNDECIDABLE, "POST", "/api/graphql.json");
    assert_refused(REFUSAL_GRAPHQL_UNDECIDABLE, "POST", "/api/Graphql/x");
    assert_int_equal(self.grant[0].budget.requests, 4);
    self.grant[0].budget.requests = 0;
    static char elsewhere[] = "/graphql", own[] = "/api/v3/search";
    self.source[0].graphql_path = own;
    assert_graphql(true, "POST", "/api/v3/search");
    self.source[0].graphql_path = elsewhere;
    self.source[0].graphql_host = self.request.host = 1;
    assert_graphql(true, "POST", "/graphql");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/repos/a/b/actions/runs");
    assert_refused(REFUSAL_GRAPHQL_UNDECIDABLE, "POST", "/graphql/x");
    self.request.credential = SLICE_LITERAL("ghp_nolease");
    assert_refused(REFUSAL_NOT_A_LEASE, "POST", "/graphql");
}

static bool ask_graphql(const char *query)
{
    static GraphqlArena arena;
    GraphqlRequest request = {.query = slice_of(query)};
    GraphqlChosen chosen;
    if (!arena.room)
        graphql_arena_init(&arena);
    graphql_arena_reset(&arena);
    if (graphql_read(&arena, &request, &chosen, &self.refused.fault))
        fail_msg("%s", self.refused.fault.text);
    self.refused = (Refused){0};
    const DecideRequest decide = {.now = clock_mono(), .wall = clock_wall(), .narrowed = &self.narrowed};
    Decided decided = {.grant = &self.grant[0], .graphql = true, .operations = UINT32_MAX};
    bool yes = decide_graphql(&decide, &decided, &chosen, &self.refused);
    self.decided.would = decided.would;
    return yes;
}

static void a_graphql_operation_is_decided_when_it_is_known(void **state)
{
    (void)state;
    assert_false(ask_graphql("{viewer{login}}"));
    assert_int_equal(self.refused.refusal, REFUSAL_GRAPHQL_DENIED);
    assert_non_null(strstr(self.refused.fault.text, "- graphql: {operations: [query], fields: [viewer]}"));
    assert_true(ask_graphql("{rateLimit{cost}}"));
    assert_int_equal(self.grant[0].budget.requests, 0);
    self.grant[0].budget.revoked = true;
    assert_false(ask_graphql("{rateLimit{cost}}"));
    assert_int_equal(self.refused.refusal, REFUSAL_REVOKED);
    self.grant[0].budget.revoked = false;
    clock_set_for_test(1600000000000000, self.grant[0].budget.expires);
    assert_false(ask_graphql("{rateLimit{cost}}"));
    assert_int_equal(self.refused.refusal, REFUSAL_EXPIRED);
}

static void a_rule_of_another_host_allows_nothing_at_the_apis_own(void **state)
{
    (void)state;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/files/x");
    self.request.host = 2;
    self.request.host_name = SLICE_LITERAL("uploads.example");
    assert_true(ask("GET", "/files/x"));
    assert_int_equal(self.decided.host, 2);
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/repos/a/b/actions/runs");
    assert_non_null(strstr(self.refused.fault.text, "host: uploads.example"));
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void a_host_that_the_source_does_not_have_is_refused(void **state)
{
    (void)state;
    self.request.host = 4;
    assert_refused(REFUSAL_BAD_REQUEST, "GET", "/api/v3/repos/a/b/actions/runs");
    self.request.host = 0;
    self.request.host_name = SLICE_LITERAL("evil.example");
    assert_refused(REFUSAL_BAD_REQUEST, "GET", "/api/v3/repos/a/b/actions/runs");
}

static void a_file_is_fetched_only_where_the_api_has_just_redirected_to(void **state)
{
    (void)state;
    const char *host = "a1.blob.example", *target = "/logs/17?sig=abc";
    self.request.credential = SLICE_LITERAL("");
    self.request.host = 3;
    self.request.host_name = slice_of(host);
    self.artifact = true;
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", target);
    redirect_note(&self.redirects, host, slice_of(target), 1, &(Narrowing){0}, clock_mono());
    self.request.credential.ptr = "";
    assert_true(ask("GET", target));
    assert_ptr_equal(self.decided.grant, &self.grant[1]);
    assert_int_equal(self.decided.host, 3);
    assert_refused(REFUSAL_METHOD, "POST", target);
    assert_refused(REFUSAL_METHOD, "HEAD", target);
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", "/logs/18?sig=abc");
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", "/logs/17?sig=abcd");
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", "/logs/17");
    self.request.host_name = SLICE_LITERAL("a2.blob.example");
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", target);
    self.request.host_name = slice_of(host);
    clock_set_for_test(1600000000000000, 1000000 + REDIRECT_US);
    assert_refused(REFUSAL_NOT_REDIRECTED, "GET", target);
}

static void query_media_type_and_size_are_of_the_rule(void **state)
{
    (void)state;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/small?page=1");
    assert_non_null(strstr(self.refused.fault.text, "line 6, allows: a/json"));
    assert_int_equal(self.decided.rule, 0);
    header("accept", "a/json");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/small?pages=1");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/small?page=1&page=2");
    assert_true(ask("GET", "/api/v3/small?page=1"));
    assert_int_equal(self.decided.response_bytes, 1000);
    assert_true(decide_answer(&self.decided, 1000, &self.refused));
    assert_false(decide_answer(&self.decided, 1001, &self.refused));
    assert_int_equal(self.refused.refusal, REFUSAL_ANSWER_TOO_LARGE);
    assert_non_null(strstr(self.refused.fault.text, "policy p, line 6"));
    header("X-HTTP-Method-Override", "DELETE");
    assert_true(ask("GET", "/api/v3/small"));
    assert_int_equal(self.decided.response_bytes, 1000); /* the first rule that allows DELETE is the same */
    assert_true(ask("DELETE", "/api/v3/other"));
    assert_int_equal(self.decided.response_bytes, 500);
    assert_true(ask("POST", "/api/v3/search")); /* by the rule of any first segment */
    self.head.n_header = 0;
    assert_true(ask("POST", "/api/v3/search?anything=1&anything=2"));
    assert_int_equal(self.decided.response_bytes, 0);
    assert_true(decide_answer(&self.decided, UINT64_MAX, &self.refused));
}

static void what_no_rule_allows_passes_while_it_is_only_watched(void **state)
{
    (void)state;
    self.grant[0].audit_until = clock_wall() + CLOCK_SECOND;
    assert_true(ask("GET", "/api/v3/user"));
    assert_int_equal(self.decided.would.refusal, REFUSAL_PATH_NOT_ALLOWED);
    assert_non_null(strstr(self.decided.would.fault.text, "GET /user is not named by policy p"));
    assert_int_equal(self.decided.rule, 0);
    assert_true(ask("HEAD", "/api/v3/small?x=1"));
    assert_true(ask("GET", "/api/v3/repos/a/b/actions/runs"));
    assert_int_equal(self.decided.would.refusal, REFUSAL_NONE);
    assert_refused(REFUSAL_PATH_DENIED, "GET", "/api/v3/repos/a/b/actions/secrets/X");
    static const char *const unsafe[] = {"POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < COUNT_OF(unsafe); i++)
        assert_refused(REFUSAL_PATH_NOT_ALLOWED, unsafe[i], "/api/v3/user/x");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/user/x?_method=DELETE");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/user");
    assert_refused(REFUSAL_METHOD, "OPTIONS", "/api/v3/user");
    header("X-HTTP-Method", "PATCH");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/user/x");
    self.head.n_header = 0;
    assert_true(ask_graphql("{viewer{login}}"));
    assert_int_equal(self.decided.would.refusal, REFUSAL_GRAPHQL_DENIED);
    assert_false(ask_graphql("{rateLimit{secret}}"));
    assert_false(ask_graphql("mutation{addStar{id}}"));
    assert_false(ask_graphql("subscription{viewer{login}}"));
    clock_set_for_test(1600000000000000 + CLOCK_SECOND, 1000000);
    assert_false(ask_graphql("{viewer{login}}"));
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, "GET", "/api/v3/user");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_the_policy_names_is_allowed),
        TEST(what_it_does_not_name_or_denies_is_refused),
        TEST(the_path_must_lie_beneath_the_sources_base),
        TEST(a_target_that_is_not_normal_is_refused),
        TEST(a_credential_parameter_is_refused_since_the_gate_takes_them_out),
        TEST(no_lease_and_what_is_not_one_is_401),
        TEST(another_runs_lease_is_401),
        TEST(another_sources_lease_is_403),
        TEST(a_caveat_that_is_not_known_refuses_everything),
        TEST(after_its_time_and_when_revoked_a_lease_is_401),
        TEST(a_budget_ends),
        TEST(no_credential_goes_on_options_trace_connect),
        TEST(a_method_override_counts_as_method),
        TEST(graphql_is_known_wherever_it_is),
        TEST(a_graphql_operation_is_decided_when_it_is_known),
        TEST(what_no_rule_allows_passes_while_it_is_only_watched),
        TEST(query_media_type_and_size_are_of_the_rule),
        TEST(a_rule_of_another_host_allows_nothing_at_the_apis_own),
        TEST(a_host_that_the_source_does_not_have_is_refused),
        TEST(a_file_is_fetched_only_where_the_api_has_just_redirected_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
