/* A budget is never overspent, by one request or one byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lease/budget.h"

#define SECOND 1000000ll

static Budget make(PolicyBudget limit)
{
    Budget budget;
    budget_init(&budget, &limit, 600 * SECOND, 5 * SECOND);
    return budget;
}

static void what_a_policy_does_not_say_has_its_default(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){0});
    assert_int_equal(budget.limit.requests, 10000);
    assert_int_equal(budget.limit.request_bytes, 64 << 20);
    assert_int_equal(budget.limit.response_bytes, 2ull << 30);
    assert_int_equal(budget.expires, 605 * SECOND);
    assert_int_equal(make((PolicyBudget){.time = 10 * SECOND}).expires, 15 * SECOND);
    assert_int_equal(make((PolicyBudget){.time = 9999 * SECOND}).expires,
                     605 * SECOND); /* never past the run */
    budget_init(&budget, &(PolicyBudget){0}, UINT64_MAX, 5);
    assert_true(budget.expires == INT64_MAX);
}

static void requests_end_with_their_number_their_time_or_their_run(void **state)
{
    (void)state;
    uint64_t retry = 0;
    Budget budget = make((PolicyBudget){.requests = 2, .time = 10 * SECOND});
    assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), 0);
    assert_int_equal(budget_spend_request(&budget, false, 15 * SECOND - 1, &retry), 0);
    assert_int_equal(budget_spend_request(&budget, false, 15 * SECOND - 1, &retry), BUDGET_E_REQUESTS);
    assert_int_equal(budget_spend_request(&budget, false, 15 * SECOND, &retry), BUDGET_E_EXPIRED);
    budget.revoked = true;
    assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), BUDGET_E_REVOKED);
}

static void the_piece_that_goes_over_is_refused_and_not_counted(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.request_bytes = 10, .response_bytes = 20});
    assert_int_equal(budget_spend_sent(&budget, 9), 0);
    assert_int_equal(budget_spend_sent(&budget, 2), BUDGET_E_REQUEST_BYTES);
    assert_int_equal(budget_spend_sent(&budget, UINT64_MAX), BUDGET_E_REQUEST_BYTES);
    assert_int_equal(budget_spend_sent(&budget, 1), 0);
    assert_int_equal(budget_spend_sent(&budget, 0), 0);
    assert_int_equal(budget_spend_sent(&budget, 1), BUDGET_E_REQUEST_BYTES);
    assert_int_equal(budget_spend_received(&budget, 20), 0);
    assert_int_equal(budget_spend_received(&budget, UINT64_MAX), BUDGET_E_RESPONSE_BYTES);
    assert_int_equal(budget.request_bytes, 10);
    assert_int_equal(budget.response_bytes, 20);
}

static void a_rate_says_when_and_keeps_its_word(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 7, 333, 1000, 1389, 20000, 100000, 999999937};
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        Budget budget = make((PolicyBudget){.per_kilosecond = rates[i], .requests = 1ull << 40});
        budget.expires = INT64_MAX;
        int64_t now = 5 * SECOND;
        uint64_t retry = 0, spent = 0, burst = rates[i] > 1000 ? rates[i] / 1000 : 1;
        while (spent < 3000000 && budget_spend_request(&budget, false, now, &retry) == 0)
            spent++;
        assert_int_equal(spent, burst); /* a second's worth at once, never less than one */
        for (int k = 0; k < 50; k++) {
            assert_int_equal(budget_spend_request(&budget, false, now, &retry), BUDGET_E_RATE);
            assert_true(retry > 0);
            now += (int64_t)retry;
            assert_int_equal(budget_spend_request(&budget, false, now, &retry), 0);
        }
    }
}

static void a_rate_is_not_outrun_by_asking_often(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.per_kilosecond = 7777, .requests = 1 << 30});
    budget.expires = INT64_MAX;
    uint64_t retry, spent = 0;
    for (int64_t now = 5 * SECOND; now < 105 * SECOND; now += 37)
        spent += budget_spend_request(&budget, false, now, &retry) == 0;
    assert_in_range(spent, 770, 777 + 8); /* 100 s of it, and the burst */
}

static void a_clock_that_stands_or_goes_back_gives_nothing(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.per_kilosecond = 1000, .requests = 100});
    uint64_t retry;
    assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), 0);
    assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), BUDGET_E_RATE);
    assert_int_equal(budget_spend_request(&budget, false, 1 * SECOND, &retry), BUDGET_E_RATE);
    assert_int_equal(budget_spend_request(&budget, false, 6 * SECOND - 1, &retry), BUDGET_E_RATE);
    assert_int_equal(budget_spend_request(&budget, false, 6 * SECOND, &retry), 0);
}

static void graphql_ends_with_its_cost_and_nothing_else_does(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.graphql_cost = 100});
    uint64_t retry;
    assert_int_equal(budget_spend_request(&budget, true, 5 * SECOND, &retry), 0);
    budget_spend_cost(&budget, 99);
    assert_int_equal(budget_spend_request(&budget, true, 5 * SECOND, &retry), 0);
    budget_spend_cost(&budget, 550); /* told too late to be refused: the next one is */
    assert_int_equal(budget_spend_request(&budget, true, 5 * SECOND, &retry), BUDGET_E_COST);
    assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), 0);
    budget_spend_cost(&budget, UINT64_MAX);
    assert_true(budget.graphql_cost == UINT64_MAX);
    budget = make((PolicyBudget){0});
    budget_spend_untold(&budget);
    assert_true(budget.graphql_cost == 1);
    budget_spend_cost(&budget, 7);
    budget_spend_cost(&budget, 3);
    budget_spend_untold(&budget);
    assert_true(budget.graphql_cost == 18);
    budget_spend_cost(&budget, 1ull << 60);
    assert_int_equal(budget_spend_request(&budget, true, 5 * SECOND, &retry), 0);
}

static void a_request_that_is_returned_was_not_spent(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.requests = 1, .per_kilosecond = 1});
    uint64_t retry;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(budget_spend_request(&budget, false, 5 * SECOND, &retry), 0);
        budget_return_request(&budget);
    }
    assert_int_equal(budget.requests, 0);
}

static void the_largest_numbers_do_not_wrap(void **state)
{
    (void)state;
    Budget budget = make((PolicyBudget){.per_kilosecond = UINT64_MAX, .requests = UINT64_MAX});
    uint64_t retry;
    budget.expires = INT64_MAX;
    for (int64_t now = 5 * SECOND; now < 5 * SECOND + 10; now++)
        assert_int_equal(budget_spend_request(&budget, false, now, &retry), 0);
    assert_int_equal(budget_spend_request(&budget, false, INT64_MAX - 1, &retry), 0);
}

static void every_error_has_its_sentence(void **state)
{
    (void)state;
    for (int i = BUDGET_E_EXPIRED; i <= BUDGET_E_RATE; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(budget_error_text(i), budget_error_text(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_policy_does_not_say_has_its_default),
        cmocka_unit_test(requests_end_with_their_number_their_time_or_their_run),
        cmocka_unit_test(the_piece_that_goes_over_is_refused_and_not_counted),
        cmocka_unit_test(a_rate_says_when_and_keeps_its_word),
        cmocka_unit_test(a_rate_is_not_outrun_by_asking_often),
        cmocka_unit_test(a_clock_that_stands_or_goes_back_gives_nothing),
        cmocka_unit_test(graphql_ends_with_its_cost_and_nothing_else_does),
        cmocka_unit_test(a_request_that_is_returned_was_not_spent),
        cmocka_unit_test(the_largest_numbers_do_not_wrap),
        cmocka_unit_test(every_error_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
