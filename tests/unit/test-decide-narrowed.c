/* What a narrowed lease may do: less than the one that it was narrowed from, and nothing else changes. */
#include "base/clock.h"
#include "keeper/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WALL (1767323045ll * CLOCK_SECOND) /* 2026-01-02T03:04:05Z */

static const char policy_text[] = "policy: p\n"
                                  "lease: {requests: 100000000, rate: 1000000/s}\n"
                                  "allow:\n"
                                  "- {method: [GET, HEAD, DELETE], path: /a/**}\n"
                                  "- {method: GET, path: /b}\n"
                                  "- graphql: {operations: [query, mutation], fields: [a, b]}\n"
                                  "deny:\n"
                                  "- {path: /a/secret}\n";

static struct {
    Source source;
    Policy *policy;
    Grant grant;
    Limits limits;
    Share share;
    Narrowed narrowed;
    unsigned char key[LEASE_KEY];
    char lease[LEASE_MAX_TEXT];
    HttpHead head;
    Refused refused;
    Decided decided;
    int64_t now, wall;
} self;

static int set_up(void **state)
{
    (void)state;
    Fault fault;
    memset(&self, 0, sizeof(self));
    static char name[] = "api", host[] = "api.test", none[] = "", graphql[] = "/graphql";
    self.source = (Source){.name = name,
                           .api = {true, host, 443, none},
                           .graphql_path = graphql,
                           .auth = {.user = none, .header = none}};
    self.now = 1000 * CLOCK_SECOND;
    self.wall = WALL;
    lease_key_make(self.key);
    share_init(&self.share, 0, self.now);
    self.grant = (Grant){.origin = &self.source, .limits = &self.limits, .share = &self.share};
    share_join(&self.share, &self.grant.member);
    int r = policy_parse("p.yaml", SLICE_LITERAL(policy_text), &self.policy, &fault);
    self.grant.policy = self.policy;
    if (r == 0)
        budget_init(&self.grant.budget, &self.policy->budget, 3600ll * CLOCK_SECOND, self.now);
    lease_issue(self.key, self.grant.id, self.lease);
    return r;
}

static int tear_down(void **state)
{
    (void)state;
    self.policy = policy_free(self.policy);
    narrowed_done(&self.narrowed);
    return 0;
}

static bool ask(const char *lease, const char *method, const char *path)
{
    StreamRequest request = {.method = http_method(slice_of(method)),
                             .method_text = slice_of(method),
                             .target = slice_of(path),
                             .path_len = (uint32_t)strlen(path),
                             .credential = slice_of(lease)};
    DecideRequest decide = {.key = self.key,
                            .grant = &self.grant,
                            .n_grant = 1,
                            .request = &request,
                            .head = &self.head,
                            .now = self.now,
                            .wall = self.wall,
                            .narrowed = &self.narrowed};
    self.refused = (Refused){0};
    bool yes = decide_request(&decide, &self.decided, &self.refused);
    limits_end(&self.limits, &self.decided.ticket);
    return yes;
}

static void assert_refused(Refusal refusal, const char *lease, const char *method, const char *path)
{
    if (ask(lease, method, path))
        fail_msg("%s %s is allowed", method, path);
    if (self.refused.refusal != refusal)
        fail_msg("%s %s: code %s (%s), not %s", method, path, refusal_kind(self.refused.refusal)->code,
                 self.refused.fault.text, refusal_kind(refusal)->code);
}

/* Both steps of a GraphQL request. */
static bool ask_graphql(const char *lease, const char *method, const char *query)
{
    static GraphqlArena arena;
    GraphqlRequest request = {.query = slice_of(query)};
    GraphqlChosen chosen;
    if (!arena.room)
        graphql_arena_init(&arena);
    graphql_arena_reset(&arena);
    assert_int_equal(graphql_read(&arena, &request, &chosen, &self.refused.fault), 0);
    if (!ask(lease, method, "/graphql"))
        return false;
    assert_true(self.decided.graphql);
    const DecideRequest decide = {.now = self.now, .wall = self.wall, .narrowed = &self.narrowed};
    return decide_graphql(&decide, &self.decided, &chosen, &self.refused);
}

static const char *narrow(const char *lease, const char *caveat)
{
    static char text[4][LEASE_MAX_TEXT];
    static size_t at;
    at = (at + 1) % COUNT_OF(text);
    assert_int_equal(lease_narrow(slice_of(lease), caveat, text[at]), 0);
    return text[at];
}

static void each_caveat_takes_something_away(void **state)
{
    (void)state;
    const char *path = narrow(self.lease, "path=/a/x"), *method = narrow(self.lease, "method=GET"),
               *host = narrow(self.lease, "host=other.test");
    assert_true(ask(self.lease, "GET", "/a/y"));
    assert_true(ask(path, "GET", "/a/x"));
    assert_refused(REFUSAL_NARROWED, path, "GET", "/a/y");
    assert_non_null(strstr(self.refused.fault.text, "path=/a/x"));
    assert_true(ask(method, "GET", "/a/y"));
    assert_refused(REFUSAL_NARROWED, method, "DELETE", "/a/y");
    assert_refused(REFUSAL_NARROWED, host, "GET", "/a/y");
    assert_true(ask(narrow(self.lease, "host=api.test"), "GET", "/a/y"));
}

static void a_caveat_allows_nothing_that_the_policy_refuses(void **state)
{
    (void)state;
    const char *wide = narrow(narrow(self.lease, "path=/a/secret"), "method=DELETE,GET,POST");
    assert_refused(REFUSAL_PATH_DENIED, wide, "GET", "/a/secret");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, narrow(self.lease, "path=/c"), "GET", "/c");
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, narrow(self.lease, "method=POST"), "POST", "/a/x");
}

static void an_override_counts_as_method_here_too(void **state)
{
    (void)state;
    const char *lease = narrow(self.lease, "method=GET");
    self.head.header[0] = (HttpHeader){SLICE_LITERAL("X-HTTP-Method-Override"), SLICE_LITERAL("DELETE")};
    self.head.n_header = 1;
    assert_true(ask(self.lease, "GET", "/a/x"));
    assert_refused(REFUSAL_NARROWED, lease, "GET", "/a/x");
}

static void graphql_is_narrowed_to_operations_or_to_none(void **state)
{
    (void)state;
    const char *query = narrow(self.lease, "graphql=query"), *none = narrow(query, "graphql=none"),
               *contradiction = narrow(query, "graphql=mutation"), *path = narrow(self.lease, "path=/**");
    assert_true(ask_graphql(self.lease, "POST", "mutation {a}"));
    assert_true(ask_graphql(query, "POST", "{a b}"));
    assert_false(ask_graphql(query, "POST", "mutation {a}"));
    assert_int_equal(self.refused.refusal, REFUSAL_NARROWED);
    assert_false(ask_graphql(query, "POST", "{c}")); /* what the policy refuses, no caveat allows */
    assert_int_equal(self.refused.refusal, REFUSAL_GRAPHQL_DENIED);
    assert_refused(REFUSAL_NARROWED, none, "POST", "/graphql");
    assert_refused(REFUSAL_NARROWED, contradiction, "POST", "/graphql");
    assert_refused(REFUSAL_NARROWED, path, "POST", "/graphql");
    assert_refused(REFUSAL_NARROWED, narrow(self.lease, "method=GET"), "POST", "/graphql");
    assert_true(ask(none, "GET", "/b")); /* REST as before */
}

static void a_graphql_request_whose_lease_ends_while_its_body_comes_is_refused(void **state)
{
    (void)state;
    const char *lease = narrow(self.lease, "expires=2026-01-02T03:05:05Z");
    assert_true(ask_graphql(lease, "POST", "{a}"));
    self.wall += 60 * CLOCK_SECOND;
    const DecideRequest decide = {.now = self.now, .wall = self.wall, .narrowed = &self.narrowed};
    assert_false(decide_graphql(&decide, &self.decided, NULL, &self.refused));
    assert_int_equal(self.refused.refusal, REFUSAL_EXPIRED);
    self.wall = WALL;
    assert_int_equal(narrowed_revoke(&self.narrowed, &self.decided.narrowing), 0);
    assert_false(decide_graphql(&decide, &self.decided, NULL, &self.refused));
    assert_int_equal(self.refused.refusal, REFUSAL_REVOKED);
}

static void time_is_over_at_the_second_by_the_wall_clock(void **state)
{
    (void)state;
    const char *lease = narrow(self.lease, "expires=2026-01-02T03:05:05Z");
    assert_true(ask(lease, "GET", "/b"));
    self.wall += 60 * CLOCK_SECOND - 1;
    assert_true(ask(lease, "GET", "/b"));
    self.wall++;
    assert_refused(REFUSAL_EXPIRED, lease, "GET", "/b");
    assert_true(ask(self.lease, "GET", "/b"));
}

static void budgets_end_and_are_shared_below(void **state)
{
    (void)state;
    const char *parent = narrow(self.lease, "requests=2"), *child = narrow(parent, "method=GET");
    assert_true(ask(child, "GET", "/b"));
    assert_true(ask(parent, "GET", "/b"));
    assert_refused(REFUSAL_REQUESTS, child, "GET", "/b");
    assert_refused(REFUSAL_REQUESTS, parent, "GET", "/b");
    assert_true(ask(self.lease, "GET", "/b"));
}

static void what_was_refused_was_not_spent(void **state)
{
    (void)state;
    const char *lease = narrow(self.lease, "requests=1");
    uint64_t before = self.grant.budget.requests;
    assert_refused(REFUSAL_PATH_NOT_ALLOWED, lease, "GET", "/c");
    self.share.rate = 1; /* one request in 1,000 s, and none now */
    self.share.pool = -1000;
    self.grant.member.wants = true;
    self.grant.member.until = self.now;
    assert_refused(REFUSAL_SOURCE_RATE, lease, "GET", "/b");
    assert_true(self.refused.retry_after > 0);
    self.share.rate = 0;
    self.limits.paused = self.now + 5 * CLOCK_SECOND;
    assert_refused(REFUSAL_UPSTREAM_LIMIT, lease, "GET", "/b");
    assert_int_equal(self.refused.retry_after, 5);
    self.limits.paused = 0;
    assert_int_equal(self.grant.budget.requests, before);
    assert_true(ask(lease, "GET", "/b"));
    assert_refused(REFUSAL_REQUESTS, lease, "GET", "/b");
}

static void a_revoked_lease_is_401_and_its_parent_is_not(void **state)
{
    (void)state;
    const char *parent = narrow(self.lease, "method=GET"), *child = narrow(parent, "path=/b");
    assert_true(ask(child, "GET", "/b"));
    Narrowing chain = self.decided.narrowing;
    assert_int_equal(chain.n, 2);
    assert_int_equal(narrowed_revoke(&self.narrowed, &chain), 0);
    assert_refused(REFUSAL_REVOKED, child, "GET", "/b");
    assert_refused(REFUSAL_REVOKED, narrow(child, "requests=5"), "GET", "/b");
    assert_true(ask(parent, "GET", "/b"));
    assert_int_equal(refusal_kind(REFUSAL_REVOKED)->status, 401);
}

static void what_the_provider_counts_alike_is_held_up_alike(void **state)
{
    (void)state;
    HttpLimits none = {.limit = {{SLICE_LITERAL("core"), 100, 0, 100, 60 * CLOCK_SECOND}},
                       .n = 1,
                       .retry_after = -1,
                       .cost = HTTP_LIMIT_UNKNOWN};
    assert_true(ask(self.lease, "GET", "/a/x/1"));
    limits_note(&self.limits, self.decided.kind, "", &none, 200, self.now);
    assert_refused(REFUSAL_UPSTREAM_LIMIT, self.lease, "GET", "/a/x/2");
    assert_int_equal(self.refused.retry_after, 60);
    assert_int_equal(refusal_kind(REFUSAL_UPSTREAM_LIMIT)->status, 429);
    assert_true(ask(self.lease, "GET", "/b")); /* of another rule */
    self.limits.reserve = 10;
    none.limit[0].remaining = 10;
    none.limit[0].reset = 600 * CLOCK_SECOND;
    limits_note(&self.limits, self.decided.kind, "", &none, 200, self.now);
    assert_refused(REFUSAL_SOURCE_RESERVE, self.lease, "GET", "/b");
}

/* Random chains: whatever a narrowed lease may do, each lease that it was narrowed from may do at that
 * moment. */

static const char *const pool[] = {
    "method=GET",
    "method=HEAD,GET",
    "method=DELETE",
    "path=/a/**",
    "path=/a/x",
    "path=/*",
    "path=/b",
    "host=api.test",
    "host=evil",
    "requests=1",
    "requests=3",
    "requests=1000",
    "bytes=10",
    "bytes=0",
    "graphql=none",
    "graphql=query",
    "expires=2026-01-02T03:04:10Z",
    "expires=2026-01-02T03:04:40Z",
    "nonsense=1",
};
static const char *const methods[] = {"GET", "HEAD", "DELETE", "POST"};
static const char *const paths[] = {"/a/x", "/a/y", "/b", "/a/secret", "/c", "/a/x/y"};

/* Whether it would be allowed now: nothing stays spent. */
static bool would(const char *lease, const char *method, const char *path)
{
    Budget budget = self.grant.budget;
    bool yes = ask(lease, method, path);
    if (yes && self.decided.narrowing.n)
        narrowed_return_request(&self.narrowed, &self.decided.narrowing);
    self.grant.budget = budget;
    return yes;
}

static void walk(unsigned *seed)
{
    char chain[6][LEASE_MAX_TEXT];
    size_t n = 1 + (size_t)rand_r(seed) % 5;
    memcpy(chain[0], self.lease, sizeof(chain[0]));
    for (size_t i = 1; i <= n; i++)
        assert_int_equal(
            lease_narrow(slice_of(chain[i - 1]), pool[(size_t)rand_r(seed) % COUNT_OF(pool)], chain[i]), 0);
    for (int round = 0; round < 12; round++) {
        const char *method = methods[(size_t)rand_r(seed) % COUNT_OF(methods)],
                   *path = paths[(size_t)rand_r(seed) % COUNT_OF(paths)];
        bool above = true;
        for (size_t i = 0; i <= n; i++) {
            bool yes = would(chain[i], method, path);
            if (yes && !above)
                fail_msg("%s %s: the lease after %zu caveats may, the one before may not", method, path, i);
            above = yes;
        }
        size_t one = (size_t)rand_r(seed) % (n + 1); /* spend, receive, revoke, and let time pass */
        if (ask(chain[one], method, path)) {
            (void)!narrowed_spend_received(&self.narrowed, &self.decided.narrowing,
                                           (uint64_t)rand_r(seed) % 6);
            if (self.decided.narrowing.n && rand_r(seed) % 8 == 0)
                (void)!narrowed_revoke(&self.narrowed, &self.decided.narrowing);
        }
        self.wall += rand_r(seed) % 4 * CLOCK_SECOND;
    }
    self.wall = WALL;
}

static void a_narrowed_lease_never_may_what_its_parent_may_not(void **state)
{
    (void)state;
    unsigned seed = 20260102;
    size_t allowed = 0;
    for (int i = 0; i < 4000; i++) {
        walk(&seed);
        allowed += would(self.lease, "GET", "/b");
        if (i % 7 == 0) /* also with no memory left, and with a fresh one */
            narrowed_done(&self.narrowed);
    }
    assert_int_equal(allowed, 4000); /* and the lease itself is none the worse for all that */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_caveat_takes_something_away),
        TEST(a_caveat_allows_nothing_that_the_policy_refuses),
        TEST(an_override_counts_as_method_here_too),
        TEST(graphql_is_narrowed_to_operations_or_to_none),
        TEST(a_graphql_request_whose_lease_ends_while_its_body_comes_is_refused),
        TEST(time_is_over_at_the_second_by_the_wall_clock),
        TEST(budgets_end_and_are_shared_below),
        TEST(what_was_refused_was_not_spent),
        TEST(a_revoked_lease_is_401_and_its_parent_is_not),
        TEST(what_the_provider_counts_alike_is_held_up_alike),
        TEST(a_narrowed_lease_never_may_what_its_parent_may_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
