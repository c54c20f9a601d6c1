/* When calls to a store come: the bounds, and what a thousand pods do together: the arrival curve, with the
 * code that the keeper runs. */
#include "base/mem.h"
#include "base/result.h"
#include "store/plan.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>

#define SECOND 1000000ull

static void test_renewal_comes_between_half_and_two_thirds_of_a_life(void **state)
{
    (void)state;
    for (unsigned pod = 0; pod < 1000; pod++) {
        char name[32];
        snprintf(name, sizeof(name), "purser-%u", pod);
        uint64_t seed = plan_seed(name);
        for (unsigned turn = 0; turn < 20; turn++) {
            uint64_t at = plan_renew(seed, turn, 3600 * SECOND);
            assert_in_range(at, 1800 * SECOND, 2400 * SECOND - 1);
            assert_in_range(plan_refresh(seed, turn, 300 * SECOND), 240 * SECOND, 300 * SECOND);
        }
    }
    assert_in_range(plan_renew(1, 1, 3), 1, 2); /* also of a life that is nearly nothing */
    assert_int_equal(plan_renew(1, 1, 0), 0);
}

static void test_retries_wait_longer_each_time_up_to_a_minute_and_as_long_as_the_store_asks(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        for (unsigned n = 1; n < 40; n++) {
            uint64_t most = (n > 6 ? 60 : 1ull << (n - 1)) * SECOND;
            assert_in_range(plan_retry(seed, n, 0), most / 2, most);
        }
        assert_in_range(plan_retry(seed, 1, 30), 30 * SECOND, 31 * SECOND);
        assert_in_range(plan_retry(seed, 1, UINT32_MAX), 300 * SECOND, 301 * SECOND);
    }
}

static void test_a_seed_says_the_same_again_and_another_one_something_else(void **state)
{
    (void)state;
    assert_int_equal(plan_seed("purser-0"), plan_seed("purser-0"));
    assert_int_not_equal(plan_seed("purser-0"), plan_seed("purser-1"));
    assert_int_equal(plan_first(7, 5 * SECOND), plan_first(7, 5 * SECOND));
    assert_int_equal(plan_first(7, 0), 0);
}

#define BINS 64

/* First calls of `pods` pods that all start at 0, by tenths of a second. The greatest, and how many bins have
 * any. */
static unsigned arrivals(unsigned pods, uint64_t spread, unsigned *ret_bins)
{
    unsigned bin[BINS] = {0}, most = 0;
    *ret_bins = 0;
    for (unsigned pod = 0; pod < pods; pod++) {
        char name[64];
        snprintf(name, sizeof(name), "purser-github-actions-%08x-%05x", 29384000u + pod / 7,
                 pod * 2654435761u >> 12);
        size_t at = (size_t)(plan_first(plan_seed(name), spread) / (SECOND / 10));
        assert_in_range(at, 0, BINS - 1);
        if (++bin[at] > most)
            most = bin[at];
    }
    print_message("%u pods:", pods);
    for (size_t i = 0; i < BINS; i++) {
        *ret_bins += bin[i] > 0;
        if (bin[i])
            print_message(" %u", bin[i]);
    }
    print_message("\n");
    return most;
}

/* Five seconds are fifty bins: a thousand pods are 20 a bin, ten thousand 200; five deviations above that is
 * flat. */
static void test_a_thousand_pods_at_the_full_minute_do_not_arrive_together(void **state)
{
    (void)state;
    unsigned bins;
    assert_in_range(arrivals(1000, 5 * SECOND, &bins), 20, 43);
    assert_int_equal(bins, 50);
    assert_in_range(arrivals(10000, 5 * SECOND, &bins), 200, 271);
    assert_int_equal(bins, 50);
    assert_int_equal(arrivals(1000, 0, &bins), 1000); /* what the spread is for */
}

/* The store comes back after a minute's outage in which all of them have failed and tried again. */
static void test_ten_thousand_pods_do_not_come_back_together_after_an_outage(void **state)
{
    (void)state;
    static unsigned second[400];
    unsigned most = 0;
    memset(second, 0, sizeof(second));
    for (unsigned pod = 0; pod < 10000; pod++) {
        char name[32];
        snprintf(name, sizeof(name), "purser-%u", pod);
        uint64_t seed = plan_seed(name), now = plan_first(seed, 5 * SECOND);
        for (unsigned failures = 1; now < 60 * SECOND; failures++)
            now += plan_retry(seed, failures, 0);
        second[now / SECOND]++;
    }
    for (size_t i = 0; i < COUNT_OF(second); i++)
        most = second[i] > most ? second[i] : most;
    print_message("most in one second after the outage: %u of 10000\n", most);
    assert_in_range(most, 100, 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewal_comes_between_half_and_two_thirds_of_a_life),
        cmocka_unit_test(test_retries_wait_longer_each_time_up_to_a_minute_and_as_long_as_the_store_asks),
        cmocka_unit_test(test_a_seed_says_the_same_again_and_another_one_something_else),
        cmocka_unit_test(test_a_thousand_pods_at_the_full_minute_do_not_arrive_together),
        cmocka_unit_test(test_ten_thousand_pods_do_not_come_back_together_after_an_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
