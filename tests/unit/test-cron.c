/* Cron expressions: what they are, when they come due, and what a change of clocks does to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "schedule/cron.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t at(const char *text)
{
    int64_t us = 0;
    assert_int_equal(clock_parse(slice_of(text), &us), 0);
    return us;
}

static Cron cron_of(const char *text)
{
    Cron cron;
    Fault fault = {""};
    if (cron_parse(slice_of(text), &cron, &fault))
        fail_msg("%s: %s", text, fault.text);
    return cron;
}

static void check_next(const char *text, const char *zone, const char *after, const char *want)
{
    Cron cron = cron_of(text);
    int64_t got = 0;
    char shown[CLOCK_TEXT];
    assert_int_equal(cron_next(&cron, zone, at(after), &got), 0);
    assert_string_equal(clock_format(shown, got), want);
}

static void check_prev(const char *text, const char *zone, const char *until, const char *want)
{
    Cron cron = cron_of(text);
    int64_t got = 0;
    char shown[CLOCK_TEXT];
    assert_int_equal(cron_prev(&cron, zone, at(until), &got), 0);
    assert_string_equal(clock_format(shown, got), want);
}

static void the_next_time_is_after_not_at(void **state)
{
    (void)state;
    check_next("*/10 * * * *", "", "2024-03-05T10:00:00Z", "2024-03-05T10:10:00Z");
    check_next("*/10 * * * *", "", "2024-03-05T09:59:59.999999Z", "2024-03-05T10:00:00Z");
    check_next("0 0 * * *", "UTC", "2024-12-31T00:00:00Z", "2025-01-01T00:00:00Z");
    check_next("@hourly", NULL, "2024-03-05T10:00:01Z", "2024-03-05T11:00:00Z");
    check_next("5,35 8-18/5 * * *", "", "2024-03-05T08:36:00Z", "2024-03-05T13:05:00Z");
}

static void days_months_and_their_names(void **state)
{
    (void)state;
    check_next("0 9 * * MON-FRI", "", "2024-03-08T09:00:00Z", "2024-03-11T09:00:00Z");
    check_next("0 9 * * fri-sun", "", "2024-03-08T09:00:00Z", "2024-03-09T09:00:00Z");
    check_next("0 0 * * 7", "", "2024-03-08T00:00:00Z", "2024-03-10T00:00:00Z");
    check_next("0 0 * * SUN-SUN", "", "2024-03-08T00:00:00Z", "2024-03-10T00:00:00Z");
    check_next("0 0 * * 0-0", "", "2024-03-10T00:00:00Z", "2024-03-17T00:00:00Z");
    check_next("0 0 1 JAN *", "", "2024-03-08T00:00:00Z", "2025-01-01T00:00:00Z");
    check_next("0 0 29 2 *", "", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
    check_next("@weekly", "", "2024-03-08T00:00:00Z", "2024-03-10T00:00:00Z");
}

static void restricted_days_are_either_or(void **state)
{
    (void)state;
    check_next("0 0 13 * FRI", "", "2024-03-08T00:00:00Z", "2024-03-13T00:00:00Z");
    check_next("0 0 13 * FRI", "", "2024-03-13T00:00:00Z", "2024-03-15T00:00:00Z");
    check_next("0 0 */10 * MON", "", "2024-03-08T00:00:00Z", "2024-03-11T00:00:00Z"); /* '*' first: both */
}

static void a_skipped_time_runs_when_the_gap_ends(void **state)
{
    (void)state; /* Berlin, 31 March 2024: 02:00 becomes 03:00 at 01:00Z */
    check_next("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z");
    check_next("30 2 * * *", "Europe/Berlin", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z");
    check_next("0 3 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z");
    check_next("30 2 31 3 *", "Europe/Berlin", "2024-03-01T12:00:00Z", "2024-03-31T01:00:00Z");
    check_next("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z");
    check_next("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z",
               "2011-12-30T10:00:00Z"); /* a whole day */
}

static void a_repeated_time_runs_once(void **state)
{
    (void)state; /* Berlin, 27 October 2024: 03:00 becomes 02:00 at 01:00Z */
    check_next("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z", "2024-10-27T00:30:00Z");
    check_next("30 2 * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z");
}

static void every_real_hour_runs(void **state)
{
    (void)state;
    check_next("30 * * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z");
    check_next("30 * * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", "2024-03-31T01:30:00Z");
    check_next("*/15 * * * *", "Australia/Lord_Howe", "2024-10-05T15:15:00Z", "2024-10-05T15:30:00Z");
    check_next("0 0 * * *", "Asia/Kathmandu", "2024-03-01T00:00:00Z", "2024-03-01T18:15:00Z");
}

static void the_previous_time_is_found_too(void **state)
{
    (void)state;
    check_prev("*/10 * * * *", "", "2024-03-05T10:09:59Z", "2024-03-05T10:00:00Z");
    check_prev("*/10 * * * *", "", "2024-03-05T10:10:00Z", "2024-03-05T10:10:00Z");
    check_prev("30 2 * * *", "Europe/Berlin", "2024-03-31T12:00:00Z", "2024-03-31T01:00:00Z");
    check_prev("30 2 * * *", "Europe/Berlin", "2024-10-27T12:00:00Z", "2024-10-27T00:30:00Z");
    check_prev("0 0 29 2 *", "", "2104-02-01T00:00:00Z", "2096-02-29T00:00:00Z");
}

/* Whatever the zone and the expression: next(prev(t)) is past t, and prev(next(t)) is next(t). */
static void next_and_previous_agree(void **state)
{
    (void)state;
    static const char *const zone[] = {"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                       "America/St_Johns"};
    static const char *const text[] = {"*/7 * * * *", "17 */3 * * *", "30 2 * * *", "0 1,2,3 * * SUN",
                                       "@monthly"};
    int64_t start = at("2024-03-08T23:17:00Z");
    for (size_t z = 0; z < COUNT_OF(zone); z++) {
        for (size_t i = 0; i < COUNT_OF(text); i++) {
            Cron cron = cron_of(text[i]);
            for (int64_t t = start, n = 0; n < 40;
                 n++, t += INT64_C(6) * 3600 * CLOCK_SECOND + 1700 * CLOCK_SECOND) {
                int64_t next = 0, prev = 0, again = 0;
                assert_int_equal(cron_next(&cron, zone[z], t, &next), 0);
                assert_int_equal(cron_prev(&cron, zone[z], t, &prev), 0);
                assert_true(prev <= t && t < next);
                assert_int_equal(cron_next(&cron, zone[z], prev, &again), 0);
                assert_int_equal(again, next);
                assert_int_equal(cron_prev(&cron, zone[z], next, &again), 0);
                assert_int_equal(again, next);
            }
        }
    }
}

static void a_call_leaves_the_time_zone_of_the_process_alone(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    check_next("0 0 * * *", "Europe/Berlin", "2024-03-05T10:00:00Z", "2024-03-05T23:00:00Z");
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    unsetenv("TZ");
    check_next("0 0 * * *", "Europe/Berlin", "2024-03-05T10:00:00Z", "2024-03-05T23:00:00Z");
    assert_null(getenv("TZ"));
}

static void what_is_no_expression_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "five fields"},
        {"* * * *", "five fields"},
        {"0 * * * * *", "none for seconds"},
        {"60 * * * *", "60 does not fit the field minute (0 to 59)"},
        {"* 24 * * *", "24 does not fit the field hour"},
        {"* * 0 * *", "0 does not fit the field day of month"},
        {"* * * 13 *", "13 does not fit the field month"},
        {"* * * * 8", "8 does not fit the field day of week"},
        {"* * * FOO *", "'FOO' does not fit the field month"},
        {"5-2 * * * *", "runs backwards"},
        {"*/0 * * * *", "not a step"},
        {"*/90 * * * *", "not a step"},
        {"5/15 * * * *", "write '5-59/15'"},
        {"1,,2 * * * *", "empty place"},
        {"-1 * * * *", "empty place"},
        {"@reboot", "@hourly"},
        {"0 0 31 2 *", "never comes"},
        {"0 0 30,31 2 *", "never comes"},
        {"0 0 31 4,6,9,11 *", "never comes"},
        {"99999999999 * * * *", "does not fit the field minute"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Cron cron;
        Fault fault = {""};
        assert_int_equal(cron_parse(slice_of(bad[i].text), &cron, &fault), -EINVAL);
        if (!strstr(fault.text, bad[i].says))
            fail_msg("'%s': %s", bad[i].text, fault.text);
    }
}

static void zones_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Europe/Nowhere", "../../../etc/passwd", "/etc/localtime", "Europe", "a b", "zone.tab"};
    Fault fault;
    assert_int_equal(cron_check_zone("Europe/Berlin", &fault), 0);
    assert_int_equal(cron_check_zone("UTC", &fault), 0);
    assert_int_equal(cron_check_zone("", &fault), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(cron_check_zone(bad[i], &fault), -EINVAL);
    Cron cron = cron_of("* * * * *");
    int64_t got = 7;
    assert_int_equal(cron_next(&cron, "Europe/Nowhere", at("2024-03-05T10:00:00Z"), &got), -EINVAL);
    assert_int_equal(got, 7);
}

static void jitter_is_stable_and_bounded(void **state)
{
    (void)state;
    bool differ = false;
    for (unsigned i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", i);
        uint64_t jitter = schedule_jitter(name, 30000000);
        assert_true(jitter <= 30000000);
        assert_int_equal(jitter, schedule_jitter(name, 30000000));
        differ |= jitter != schedule_jitter("r0", 30000000);
    }
    assert_true(differ);
    assert_int_equal(schedule_jitter("github", 0), 0);
    assert_int_equal(schedule_jitter("github", 30000000), UINT64_C(1107464)); /* a release must not move it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_time_is_after_not_at),
        cmocka_unit_test(days_months_and_their_names),
        cmocka_unit_test(restricted_days_are_either_or),
        cmocka_unit_test(a_skipped_time_runs_when_the_gap_ends),
        cmocka_unit_test(a_repeated_time_runs_once),
        cmocka_unit_test(every_real_hour_runs),
        cmocka_unit_test(the_previous_time_is_found_too),
        cmocka_unit_test(next_and_previous_agree),
        cmocka_unit_test(a_call_leaves_the_time_zone_of_the_process_alone),
        cmocka_unit_test(what_is_no_expression_is_refused_with_the_reason),
        cmocka_unit_test(zones_are_checked),
        cmocka_unit_test(jitter_is_stable_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
