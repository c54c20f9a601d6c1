/* Where a run's window begins, whatever clocks have said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/window.h"

#define DAY (INT64_C(86400) * CLOCK_SECOND)
#define NOW (INT64_C(20000) * DAY)

static char name[] = "github";
static const Retriever retriever = {.name = name, .first_window = 7 * DAY};

static void a_window_begins_where_the_stream_stands(void **state)
{
    (void)state;
    assert_true(window_since(&retriever, NOW - 5, NOW) == NOW - 5);
    assert_true(window_since(&retriever, NOW, NOW) == NOW);
    assert_true(window_since(&retriever, 0, NOW) == NOW - 7 * DAY);
    assert_true(window_since(&retriever, 0, DAY) == 0);
}

static void no_window_ends_before_it_begins(void **state)
{
    (void)state;
    assert_true(window_since(&retriever, NOW + 1, NOW) == NOW); /* two clocks that differ a little */
    assert_true(window_since(&retriever, NOW + DAY, NOW) == NOW - 7 * DAY);
    assert_true(window_since(&retriever, NOW + DAY, DAY) == 0);
}

static void a_stream_moves_on_and_back_from_the_future_alone(void **state)
{
    (void)state;
    RunReport report = {.status = RUN_OK, .until = NOW};
    clock_set_for_test(NOW + 1, -1);
    assert_true(window_after(0, &report) == NOW);
    assert_true(window_after(NOW - 1, &report) == NOW);
    assert_true(window_after(NOW + 1, &report) == NOW + 1);
    assert_true(window_after(NOW + DAY, &report) == NOW);
    report.status = RUN_FAILED;
    assert_true(window_after(NOW - 1, &report) == NOW - 1);
    clock_set_for_test(-1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_begins_where_the_stream_stands),
        cmocka_unit_test(no_window_ends_before_it_begins),
        cmocka_unit_test(a_stream_moves_on_and_back_from_the_future_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
