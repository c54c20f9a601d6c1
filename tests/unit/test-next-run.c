/* When a retriever runs next, and whether one of its runs was missed. */
#include "purser/next-run.h"

#include "base/clock.h"
#include "schedule/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
    int64_t wall;
    assert_int_equal(clock_parse(slice_of(text), &wall), 0);
    return wall;
}

#define MINUTE (60ll * CLOCK_SECOND)

/* The configuration owns its texts; these are only read. */
static Retriever planned(const char *name, const char *schedule, const char *zone)
{
    return (Retriever){.name = (char *)name, .schedule = (char *)schedule, .time_zone = (char *)zone};
}

static void the_next_run_is_the_lines_next_time_in_the_retrievers_zone(void **state)
{
    (void)state;
    Retriever utc = planned("a", "0 4 * * *", "UTC");
    Retriever berlin = planned("a", "0 4 * * *", "Europe/Berlin");
    assert_int_equal(next_run(&utc, at("2024-05-01T03:59:59Z")), at("2024-05-01T04:00:00Z"));
    assert_int_equal(next_run(&utc, at("2024-05-01T04:00:00Z")), at("2024-05-02T04:00:00Z"));
    assert_int_equal(next_run(&berlin, at("2024-05-01T00:00:00Z")), at("2024-05-01T02:00:00Z"));
    assert_int_equal(next_run(&berlin, at("2024-12-01T00:00:00Z")), at("2024-12-01T03:00:00Z"));
}

static void a_retriever_without_schedule_runs_by_hand_only(void **state)
{
    (void)state;
    Retriever none = planned("a", "", "UTC");
    assert_int_equal(next_run(&none, at("2024-05-01T00:00:00Z")), 0);
    assert_int_equal(due_run(&none, at("2024-05-01T00:00:00Z")), 0);
}

static void jitter_moves_every_run_by_the_same_and_loses_none(void **state)
{
    (void)state;
    Retriever exact = planned("github", "*/10 * * * *", "UTC"), spread = exact;
    spread.jitter = (uint64_t)(15 * MINUTE); /* longer than the period */
    int64_t shift = (int64_t)schedule_jitter("github", spread.jitter) / CLOCK_SECOND * CLOCK_SECOND;
    assert_true(shift > 0 && shift <= 15 * MINUTE);
    int64_t now = at("2024-05-01T00:00:00Z"), plain = now;
    for (int i = 0; i < 20; i++) {
        int64_t last = now;
        now = next_run(&spread, now);
        assert_true(now > last);
        if (i)
            assert_int_equal(now - last, 10 * MINUTE);
        plain = next_run(&exact, now - shift - 1);
        assert_int_equal(now, plain + shift);
    }
}

static void the_run_that_is_due_is_the_last_one_not_after_now(void **state)
{
    (void)state;
    Retriever exact = planned("github", "0 * * * *", "UTC"), spread = exact;
    spread.jitter = (uint64_t)(30 * MINUTE);
    int64_t shift = (int64_t)schedule_jitter("github", spread.jitter) / CLOCK_SECOND * CLOCK_SECOND;
    int64_t noon = at("2024-05-01T12:00:00Z");
    assert_int_equal(due_run(&exact, noon), noon);
    assert_int_equal(due_run(&exact, noon - 1), noon - 60 * MINUTE);
    assert_int_equal(due_run(&spread, noon + shift), noon + shift);
    assert_int_equal(due_run(&spread, noon + shift - 1), noon + shift - 60 * MINUTE);
    /* What is due at any moment is what was next before it: none is skipped, none is due twice. */
    for (int64_t now = noon; now < noon + 120 * MINUTE; now += 7 * MINUTE) {
        int64_t due = due_run(&spread, now), next = next_run(&spread, now);
        assert_true(due <= now && next > now);
        assert_int_equal(next_run(&spread, due), next);
        assert_int_equal(due_run(&spread, next - 1), due);
    }
}

static void a_run_in_the_hour_that_clocks_skip_is_not_lost(void **state)
{
    (void)state;
    Retriever berlin = planned("a", "30 2 * * *", "Europe/Berlin");
    int64_t before = at("2024-03-31T00:00:00Z"), next = next_run(&berlin, before);
    assert_int_equal(next, at("2024-03-31T01:00:00Z"));
    assert_int_equal(due_run(&berlin, next), next);
    assert_int_equal(next_run(&berlin, next), at("2024-04-01T00:30:00Z"));
}

static void a_token_is_rotated_at_its_lines_next_time_or_never(void **state)
{
    (void)state;
    Source source = {.plan = {.schedule = (char *)"0 3 * * *", .time_zone = (char *)"Europe/Berlin"}};
    assert_int_equal(next_rotation(&source, at("2024-05-01T00:59:59Z")), at("2024-05-01T01:00:00Z"));
    assert_int_equal(next_rotation(&source, at("2024-05-01T01:00:00Z")), at("2024-05-02T01:00:00Z"));
    source.plan.schedule = (char *)"";
    assert_int_equal(next_rotation(&source, at("2024-05-01T01:00:00Z")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_run_is_the_lines_next_time_in_the_retrievers_zone),
        cmocka_unit_test(a_retriever_without_schedule_runs_by_hand_only),
        cmocka_unit_test(jitter_moves_every_run_by_the_same_and_loses_none),
        cmocka_unit_test(the_run_that_is_due_is_the_last_one_not_after_now),
        cmocka_unit_test(a_token_is_rotated_at_its_lines_next_time_or_never),
        cmocka_unit_test(a_run_in_the_hour_that_clocks_skip_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
