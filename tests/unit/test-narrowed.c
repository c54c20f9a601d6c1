/* What is narrowed from one lease shares its budget, and ends with it. */
#include "lease/narrowed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const unsigned char key[LEASE_KEY] = "k", id[LEASE_ID] = "i";

/* The chain of these caveats, ended by NULL, as the keeper has it. */
static Narrowing chain(const char *const *caveat)
{
    char text[LEASE_MAX_TEXT], next[LEASE_MAX_TEXT];
    static LeaseClaims claims;
    Narrowing narrowing = {0};
    lease_issue(key, id, text);
    for (; *caveat; caveat++) {
        assert_int_equal(lease_narrow(slice_of(text), *caveat, next), 0);
        memcpy(text, next, sizeof(text));
    }
    assert_int_equal(lease_verify(key, slice_of(text), &claims), 0);
    narrowing.n = claims.n_caveat;
    for (size_t i = 0; i < claims.n_caveat; i++) {
        Caveat one;
        assert_int_equal(caveat_parse(claims.caveat[i], &one), 0);
        narrowing.place[i] = claims.place[i];
        narrowing.requests[i] = one.word == CAVEAT_REQUESTS ? one.number : NARROWED_NO_LIMIT;
        narrowing.bytes[i] = one.word == CAVEAT_BYTES ? one.number : NARROWED_NO_LIMIT;
    }
    return narrowing;
}
#define CHAIN(...) chain((const char *const[]){__VA_ARGS__, NULL})

static int set_up(void **state)
{
    static Narrowed narrowed;
    narrowed = (Narrowed){0};
    *state = &narrowed;
    return 0;
}

static int tear_down(void **state)
{
    narrowed_done(*state);
    return 0;
}

static void places_differ_by_every_caveat_before_them(void **state)
{
    (void)state;
    Narrowing a = CHAIN("requests=1", "bytes=5"), b = CHAIN("requests=1", "bytes=6"), c = CHAIN("bytes=5");
    assert_memory_equal(&a.place[0], &b.place[0], sizeof(LeasePlace));
    assert_memory_not_equal(&a.place[1], &b.place[1], sizeof(LeasePlace));
    assert_memory_not_equal(&a.place[1], &c.place[0], sizeof(LeasePlace));
    assert_memory_not_equal(&a.place[0], &a.place[1], sizeof(LeasePlace));
}

static void everything_narrowed_further_shares_the_budget(void **state)
{
    Narrowed *narrowed = *state;
    Narrowing parent = CHAIN("requests=3"), one = CHAIN("requests=3", "method=GET"),
              two = CHAIN("requests=3", "requests=2");
    size_t at = 9;
    assert_int_equal(narrowed_spend_request(narrowed, &one, &at), 0);
    assert_int_equal(narrowed_spend_request(narrowed, &two, &at), 0);
    assert_int_equal(narrowed_requests_left(narrowed, &two, 0), 1);
    assert_int_equal(narrowed_requests_left(narrowed, &two, 1), 1);
    assert_int_equal(narrowed_spend_request(narrowed, &parent, &at), 0);
    assert_int_equal(narrowed_spend_request(narrowed, &parent, &at), NARROWED_E_REQUESTS);
    assert_int_equal(narrowed_spend_request(narrowed, &one, &at), NARROWED_E_REQUESTS);
    assert_int_equal(narrowed_spend_request(narrowed, &two, &at), NARROWED_E_REQUESTS);
    assert_int_equal(at, 0);
    assert_int_equal(narrowed_requests_left(narrowed, &two, 1), 1); /* what was refused was not spent */
    narrowed_return_request(narrowed, &two);
    assert_int_equal(narrowed_spend_request(narrowed, &two, &at), 0);
    Narrowing other = CHAIN("requests=4");
    assert_int_equal(narrowed_spend_request(narrowed, &other, &at), 0);
}

static void none_at_all_is_none(void **state)
{
    Narrowed *narrowed = *state;
    Narrowing none = CHAIN("requests=0"), no_bytes = CHAIN("bytes=0");
    size_t at;
    assert_int_equal(narrowed_spend_request(narrowed, &none, &at), NARROWED_E_REQUESTS);
    assert_int_equal(narrowed_spend_request(narrowed, &no_bytes, &at), NARROWED_E_BYTES);
    assert_int_equal(narrowed->n, 0); /* and costs no memory */
}

static void bytes_are_counted_where_they_are_limited(void **state)
{
    Narrowed *narrowed = *state;
    Narrowing parent = CHAIN("bytes=10"), child = CHAIN("bytes=10", "method=GET", "bytes=7");
    size_t at;
    assert_int_equal(narrowed_spend_request(narrowed, &child, &at), 0);
    assert_int_equal(narrowed_ask_received(narrowed, &child, 7), 0);
    assert_int_equal(narrowed_ask_received(narrowed, &child, 8), NARROWED_E_BYTES);
    assert_int_equal(narrowed_spend_received(narrowed, &child, 5), 0);
    assert_int_equal(narrowed_spend_received(narrowed, &child, 3), NARROWED_E_BYTES);
    assert_int_equal(narrowed_spend_received(narrowed, &child, UINT64_MAX), NARROWED_E_BYTES);
    assert_int_equal(narrowed_bytes_left(narrowed, &child, 2), 2);
    assert_int_equal(narrowed_bytes_left(narrowed, &child, 1), NARROWED_NO_LIMIT);
    assert_int_equal(narrowed_bytes_left(narrowed, &parent, 0), 5);
    assert_int_equal(narrowed_spend_request(narrowed, &parent, &at), 0);
    assert_int_equal(narrowed_spend_received(narrowed, &parent, 5), 0);
    assert_int_equal(narrowed_spend_request(narrowed, &child, &at), NARROWED_E_BYTES);
    assert_int_equal(at, 0);
}

static void a_revoked_lease_takes_what_is_narrowed_from_it_along(void **state)
{
    Narrowed *narrowed = *state;
    Narrowing parent = CHAIN("method=GET"), child = CHAIN("method=GET", "path=/x"),
              other = CHAIN("method=HEAD");
    assert_int_equal(narrowed_revoke(narrowed, &child), 0);
    assert_true(narrowed_is_revoked(narrowed, &child));
    assert_false(narrowed_is_revoked(narrowed, &parent));
    assert_int_equal(narrowed_revoke(narrowed, &parent), 0);
    assert_true(narrowed_is_revoked(narrowed, &parent));
    assert_true(narrowed_is_revoked(narrowed, &child));
    Narrowing grandchild = CHAIN("method=GET", "path=/x", "requests=5");
    assert_true(narrowed_is_revoked(narrowed, &grandchild));
    assert_false(narrowed_is_revoked(narrowed, &other));
    assert_int_equal(narrowed_revoke(narrowed, &parent), 0); /* once more is no fault */
}

/* Spends one request each of as many leases as are remembered, and of ten more. */
static void make_many(Narrowed *narrowed, const char *first)
{
    for (unsigned i = 0; i < NARROWED_MAX + 10; i++) {
        char last[32];
        size_t at;
        snprintf(last, sizeof(last), "requests=%u", i + 1);
        Narrowing one = CHAIN(first, last);
        assert_int_equal(narrowed_spend_request(narrowed, &one, &at), i < NARROWED_MAX ? 0 : NARROWED_E_FULL);
    }
}

static void there_is_an_end_to_what_is_remembered_and_a_holder_can_free_it(void **state)
{
    Narrowed *narrowed = *state;
    make_many(narrowed, "method=GET");
    assert_int_equal(narrowed->n, NARROWED_MAX);
    Narrowing other = CHAIN("requests=7"), stranger = CHAIN("method=HEAD");
    size_t at;
    assert_int_equal(narrowed_spend_request(narrowed, &other, &at), NARROWED_E_FULL);
    assert_int_equal(narrowed_revoke(narrowed, &stranger), NARROWED_E_FULL);
    Narrowing parent = CHAIN("method=GET");
    assert_int_equal(narrowed_revoke(narrowed, &parent), 0); /* whoever filled it is taken back in one */
    assert_int_equal(narrowed->n, NARROWED_MAX);
    assert_int_equal(narrowed_spend_request(narrowed, &other, &at), 0);
    assert_int_equal(narrowed_revoke(narrowed, &stranger), 0);
    Narrowing child = CHAIN("method=GET", "requests=3");
    assert_true(narrowed_is_revoked(narrowed, &child));
}

static void a_lease_that_is_not_narrowed_needs_nothing(void **state)
{
    Narrowed *narrowed = *state;
    Narrowing root = {0};
    size_t at;
    assert_int_equal(narrowed_spend_request(narrowed, &root, &at), 0);
    assert_int_equal(narrowed_spend_received(narrowed, &root, UINT64_MAX), 0);
    assert_false(narrowed_is_revoked(narrowed, &root));
    assert_int_equal(narrowed->n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(places_differ_by_every_caveat_before_them),
        TEST(everything_narrowed_further_shares_the_budget),
        TEST(none_at_all_is_none),
        TEST(bytes_are_counted_where_they_are_limited),
        TEST(a_revoked_lease_takes_what_is_narrowed_from_it_along),
        TEST(there_is_an_end_to_what_is_remembered_and_a_holder_can_free_it),
        TEST(a_lease_that_is_not_narrowed_needs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
