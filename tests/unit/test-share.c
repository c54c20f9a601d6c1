/* A source's rate is kept, and shared fairly, whoever asks how often. Time is simulated. */
#include "lease/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS (CLOCK_SECOND / 1000)

/* One lease of a simulation: asks every `every` us; patient: not before it was told to. */
typedef struct Asker {
    int64_t every;
    bool patient;
    ShareMember member;
    int64_t next;
    unsigned asked, served, refused_in_a_row, most_refused;
    uint64_t longest_retry;
} Asker;

static void step(Share *share, Asker *asker, int64_t now)
{
    uint64_t retry = 0;
    if (now < asker->next)
        return;
    asker->next = now + asker->every;
    asker->asked++;
    if (share_spend(share, &asker->member, now, &retry) == 0) {
        asker->served++;
        asker->refused_in_a_row = 0;
        return;
    }
    assert_true(retry > 0);
    if (retry > asker->longest_retry)
        asker->longest_retry = retry;
    if (++asker->refused_in_a_row > asker->most_refused)
        asker->most_refused = asker->refused_in_a_row;
    if (asker->patient && now + (int64_t)retry > asker->next)
        asker->next = now + (int64_t)retry;
}

static void simulate(uint64_t rate, Asker *asker, size_t n, int64_t seconds)
{
    Share share;
    int64_t start = 7 * CLOCK_SECOND;
    share_init(&share, rate, start);
    for (size_t i = 0; i < n; i++)
        share_join(&share, &asker[i].member);
    uint64_t served = 0;
    for (int64_t now = start; now < start + seconds * CLOCK_SECOND; now += MS)
        for (size_t i = 0; i < n; i++)
            step(&share, &asker[i], now);
    for (size_t i = 0; i < n; i++) {
        served += asker[i].served;
        share_leave(&share, &asker[i].member);
    }
    /* Never more than the rate, its first second, and a second that was borrowed. */
    uint64_t burst = rate > 1000 ? rate : 1000;
    if (served * 1000 > rate * (uint64_t)seconds + 2 * burst)
        fail_msg("%llu requests in %lld s at %llu/1000 s", (unsigned long long)served, (long long)seconds,
                 (unsigned long long)rate);
}

static void one_alone_has_the_whole_rate(void **state)
{
    (void)state;
    Asker one = {.every = MS};
    simulate(20000, &one, 1, 100);
    assert_in_range(one.served, 1980, 2040);
}

static void two_that_want_all_have_half_each(void **state)
{
    (void)state;
    static const uint64_t rates[] = {200, 1000, 7000, 20000, 100000};
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        Asker two[2] = {{.every = MS}, {.every = 3 * MS, .patient = true}};
        simulate(rates[i], two, 2, 200);
        unsigned half = (unsigned)(rates[i] * 200 / 2000);
        assert_in_range(two[0].served, half - half / 10 - 2, half + half / 10 + rates[i] / 1000 + 2);
        assert_in_range(two[1].served, half - half / 10 - 2, half + half / 10 + rates[i] / 1000 + 2);
    }
}

static void one_with_many_requests_does_not_starve_one_with_few(void **state)
{
    (void)state;
    Asker asker[2] = {{.every = MS}, {.every = 200 * MS, .patient = true}};
    simulate(20000, asker, 2, 100); /* 20/s: its part is 10/s, it wants 5 */
    assert_in_range(asker[1].served, 495, 500);
    assert_true(asker[1].most_refused <= 1);
    assert_in_range(asker[0].served, 1480, 1540); /* and what it leaves is not lost */
}

static void one_that_asks_seldom_is_served_at_once(void **state)
{
    (void)state;
    Asker asker[3] = {{.every = MS}, {.every = MS}, {.every = 10 * CLOCK_SECOND}};
    simulate(5000, asker, 3, 300);
    assert_int_equal(asker[2].asked, 30);
    assert_int_equal(asker[2].served, 30);
}

static void many_are_served_alike_and_told_when(void **state)
{
    (void)state;
    static Asker asker[40];
    for (size_t i = 0; i < COUNT_OF(asker); i++)
        asker[i] = (Asker){.every = (int64_t)(1 + i % 7) * MS, .patient = i % 2};
    simulate(10000, asker, COUNT_OF(asker), 400); /* 10/s among 40: one each in 4 s */
    for (size_t i = 0; i < COUNT_OF(asker); i++) {
        assert_in_range(asker[i].served, 85, 112);
        assert_in_range(asker[i].longest_retry, 1, 6 * CLOCK_SECOND);
    }
}

static void borrowing_does_not_add_up(void **state)
{
    (void)state;
    static Asker
        asker[60]; /* each a fresh one every time it asks: 10 a second together, where 1 is allowed */
    for (size_t i = 0; i < COUNT_OF(asker); i++)
        asker[i] = (Asker){.every = 6 * CLOCK_SECOND, .next = 7 * CLOCK_SECOND + (int64_t)i * 100 * MS};
    simulate(1000, asker, COUNT_OF(asker), 600);
}

static void without_a_rate_nothing_is_refused(void **state)
{
    (void)state;
    Share share;
    ShareMember member;
    uint64_t retry;
    share_init(&share, 0, 5);
    share_join(&share, &member);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(share_spend(&share, &member, 5, &retry), 0);
    share_leave(&share, &member);
}

static void a_clock_that_goes_back_or_far_ahead_breaks_nothing(void **state)
{
    (void)state;
    Share share;
    ShareMember member;
    uint64_t retry;
    share_init(&share, UINT64_MAX, 1ll << 60);
    share_join(&share, &member);
    assert_int_equal(share_spend(&share, &member, 1, &retry), 0);
    assert_int_equal(share_spend(&share, &member, (1ll << 60) + 10, &retry), 0);
    share_leave(&share, &member);
    share_init(&share, 1000, 5 * CLOCK_SECOND);
    share_join(&share, &member);
    assert_int_equal(share_spend(&share, &member, 5 * CLOCK_SECOND, &retry), 0);
    assert_int_equal(share_spend(&share, &member, 5 * CLOCK_SECOND, &retry), SHARE_E_RATE);
    assert_int_equal(share_spend(&share, &member, CLOCK_SECOND, &retry), SHARE_E_RATE);
    assert_int_equal(share_spend(&share, &member, 400ll * 365 * 86400 * CLOCK_SECOND, &retry), 0);
    share_leave(&share, &member);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_alone_has_the_whole_rate),
        cmocka_unit_test(two_that_want_all_have_half_each),
        cmocka_unit_test(one_with_many_requests_does_not_starve_one_with_few),
        cmocka_unit_test(one_that_asks_seldom_is_served_at_once),
        cmocka_unit_test(many_are_served_alike_and_told_when),
        cmocka_unit_test(borrowing_does_not_add_up),
        cmocka_unit_test(without_a_rate_nothing_is_refused),
        cmocka_unit_test(a_clock_that_goes_back_or_far_ahead_breaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
