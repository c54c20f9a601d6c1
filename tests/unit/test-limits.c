/* What a provider says of its limits is heeded, for as long as it says and no longer than is sane. */
#include "base/clock.h"
#include "lease/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW  (1000ll * CLOCK_SECOND)
#define WALL (1767323045ll * CLOCK_SECOND) /* Fri, 02 Jan 2026 03:04:05 GMT */

typedef struct Line {
    const char *name, *value;
} Line;

static HttpLimits parse(const Line *line, size_t n)
{
    static HttpHead head;
    HttpLimits limits;
    for (size_t i = 0; i < n; i++)
        head.header[i] = (HttpHeader){slice_of(line[i].name), slice_of(line[i].value)};
    head.n_header = n;
    http_limits(&head, WALL, &limits);
    return limits;
}
#define SAID(...) parse((const Line[]){__VA_ARGS__}, COUNT_OF(((const Line[]){__VA_ARGS__})))

static void github_says_when_by_the_clock(void **state)
{
    (void)state;
    HttpLimits said = SAID({"Content-Type", "application/json"}, {"X-RateLimit-Limit", "5000"},
                           {"X-RateLimit-Remaining", "4987"}, {"X-RateLimit-Used", "13"},
                           {"X-RateLimit-Reset", "1767324000"}, {"X-RateLimit-Resource", "graphql"});
    assert_int_equal(said.n, 1);
    assert_int_equal(said.limit[0].limit, 5000);
    assert_int_equal(said.limit[0].remaining, 4987);
    assert_int_equal(said.limit[0].used, 13);
    assert_int_equal(said.limit[0].reset, 955 * CLOCK_SECOND);
    assert_true(slice_is(said.limit[0].name, "graphql"));
    assert_int_equal(said.retry_after, -1);
    assert_true(said.cost == HTTP_LIMIT_UNKNOWN);
}

static void the_answers_own_date_is_the_clock_where_there_is_one(void **state)
{
    (void)state;
    HttpLimits said = SAID({"x-ratelimit-remaining", "1"}, {"x-ratelimit-reset", "1767324000"},
                           {"Date", "Fri, 02 Jan 2026 03:19:55 GMT"});
    assert_int_equal(said.limit[0].reset, 5 * CLOCK_SECOND);
}

static void gitlab_and_buildkite_say_it_without_the_x(void **state)
{
    (void)state;
    HttpLimits gitlab =
        SAID({"RateLimit-Limit", "600"}, {"RateLimit-Name", "throttle_authenticated_api"},
             {"RateLimit-Observed", "6"}, {"RateLimit-Remaining", "594"}, {"RateLimit-Reset", "1767323105"});
    assert_int_equal(gitlab.limit[0].reset, 60 * CLOCK_SECOND);
    assert_int_equal(gitlab.limit[0].used, 6);
    assert_true(slice_is(gitlab.limit[0].name, "throttle_authenticated_api"));
    HttpLimits buildkite =
        SAID({"RateLimit-Remaining", "15000"}, {"RateLimit-Limit", "20000"}, {"RateLimit-Reset", "300"},
             {"RateLimit-User-Remaining", "3500"}, {"RateLimit-User-Limit", "5000"},
             {"RateLimit-User-Reset", "299"}, {"RateLimit-Complexity-Requested", "1910"},
             {"RateLimit-Complexity-Actual", "550"});
    assert_int_equal(buildkite.n, 2);
    assert_int_equal(buildkite.limit[0].reset, 300 * CLOCK_SECOND);
    assert_int_equal(buildkite.limit[1].remaining, 3500);
    assert_int_equal(buildkite.limit[1].reset, 299 * CLOCK_SECOND);
    assert_true(slice_is(buildkite.limit[1].name, "user"));
    assert_int_equal(buildkite.cost, 550);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    (void)state;
    assert_int_equal(SAID({"Retry-After", "120"}).retry_after, 120 * CLOCK_SECOND);
    assert_int_equal(SAID({"Retry-After", "Fri, 02 Jan 2026 03:05:05 GMT"}).retry_after, 60 * CLOCK_SECOND);
    assert_int_equal(SAID({"Retry-After", "Thu, 01 Jan 2026 00:00:00 GMT"}).retry_after, 0);
    assert_int_equal(SAID({"Retry-After", "0"}).retry_after, 0);
}

static void what_cannot_be_read_was_not_said(void **state)
{
    (void)state;
    static const char *const odd[] = {"",
                                      "-1",
                                      "1.5",
                                      "many",
                                      "0x10",
                                      "1 2",
                                      "99999999999999999999999",
                                      "Fri, 02 Jan 2026 03:05:05 UTC",
                                      "Fri, 2 Jan 2026 03:05:05 GMT",
                                      "Fri, 02 ebM 2026 03:05:05 GMT",
                                      "Fri, 32 Jan 2026 03:05:05 GMT",
                                      "Friday, 02-Jan-26 03:05:05 GMT"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        HttpLimits said = SAID({"X-RateLimit-Remaining", odd[i]}, {"Retry-After", odd[i]});
        assert_int_equal(said.n, 0);
        assert_int_equal(said.retry_after, -1);
        said = SAID({"X-RateLimit-Remaining", "5"}, {"X-RateLimit-Reset", odd[i]},
                    {"X-RateLimit-Limit", odd[i]});
        assert_int_equal(said.limit[0].reset, -1);
        assert_true(said.limit[0].limit == HTTP_LIMIT_UNKNOWN);
    }
}

/* An answer in short: of which limit, what is left, seconds until it is reset. */
static HttpLimits answer(const char *name, uint64_t remaining, int64_t reset)
{
    return (HttpLimits){.limit = {{slice_of(name), 100, remaining, 100 - remaining, reset * CLOCK_SECOND}},
                        .n = 1,
                        .retry_after = -1,
                        .cost = HTTP_LIMIT_UNKNOWN};
}

static const Limit *held_by;
static uint64_t wait_us;

static int ask(Limits *limits, uint32_t kind, int64_t now)
{
    LimitsTicket ticket;
    int r = limits_ask(limits, kind, now, &ticket, &held_by, &wait_us);
    limits_end(limits, &ticket);
    return r;
}

static uint64_t note(Limits *limits, uint32_t kind, HttpLimits said, int64_t now)
{
    return limits_note(limits, kind, "", &said, 200, now);
}

static void when_none_is_left_nothing_is_asked_until_the_reset(void **state)
{
    (void)state;
    Limits limits = {0};
    assert_int_equal(ask(&limits, 1, NOW), 0);
    note(&limits, 1, answer("core", 1, 60), NOW);
    assert_int_equal(ask(&limits, 1, NOW), 0);
    note(&limits, 1, answer("core", 0, 60), NOW);
    assert_int_equal(ask(&limits, 1, NOW), LIMITS_E_NONE_LEFT);
    assert_int_equal(wait_us, 60 * CLOCK_SECOND);
    assert_string_equal(held_by->name, "core");
    assert_int_equal(ask(&limits, 1, NOW + 60 * CLOCK_SECOND - 1), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 1, NOW + 60 * CLOCK_SECOND), 0);
}

static void one_limit_that_is_used_up_does_not_hold_up_what_another_counts(void **state)
{
    (void)state;
    Limits limits = {0};
    note(&limits, 1, answer("core", 50, 600), NOW);
    note(&limits, 2, answer("search", 0, 60), NOW);
    assert_int_equal(ask(&limits, 1, NOW), 0);
    assert_int_equal(ask(&limits, 2, NOW), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 3, NOW), 0); /* nobody knows what counts it: it tells */
    note(&limits, 3, answer("search", 0, 60), NOW);
    assert_int_equal(ask(&limits, 3, NOW), LIMITS_E_NONE_LEFT);
}

static void kinds_do_not_make_each_other_forgotten_as_long_as_there_is_room(void **state)
{
    (void)state;
    Limits limits = {0};
    for (uint32_t i = 0; i < LIMITS_KINDS; i++) /* whatever their numbers have in common */
        note(&limits, i * 0x10000, answer("core", 0, 600), NOW + i);
    for (uint32_t i = 0; i < LIMITS_KINDS; i++)
        assert_int_equal(ask(&limits, i * 0x10000, NOW + 100 + i), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 0, NOW + 200), LIMITS_E_NONE_LEFT);
    note(&limits, 7, answer("core", 0, 600), NOW + 300); /* one more: the one that waits for longest goes */
    assert_int_equal(ask(&limits, 0x10000, NOW + 400), 0);
    assert_int_equal(ask(&limits, 0, NOW + 400), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 7, NOW + 400), LIMITS_E_NONE_LEFT);
}

static void retry_after_stops_the_whole_source(void **state)
{
    (void)state;
    Limits limits = {0};
    HttpLimits said = answer("core", 40, 600);
    said.retry_after = 30 * CLOCK_SECOND;
    limits_note(&limits, 1, "", &said, 200, NOW); /* of an answer that is none of those it means nothing */
    assert_int_equal(ask(&limits, 2, NOW), 0);
    limits_note(&limits, 1, "", &said, 403, NOW);
    assert_int_equal(ask(&limits, 2, NOW), LIMITS_E_PAUSED);
    assert_int_equal(wait_us, 30 * CLOCK_SECOND);
    assert_int_equal(ask(&limits, 2, NOW + 30 * CLOCK_SECOND), 0);
    said = answer("search", 0, 10);
    said.retry_after = 90 * CLOCK_SECOND;
    limits_note(&limits, 3, "", &said, 429,
                NOW + 60 * CLOCK_SECOND); /* explained by the limit that is used up */
    assert_int_equal(ask(&limits, 2, NOW + 60 * CLOCK_SECOND), 0);
    assert_int_equal(ask(&limits, 3, NOW + 149 * CLOCK_SECOND), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 3, NOW + 150 * CLOCK_SECOND), 0);
}

static void nobody_waits_for_more_than_an_hour(void **state)
{
    (void)state;
    Limits limits = {0};
    note(&limits, 1, answer("core", 0, 99999999999), NOW);
    assert_int_equal(ask(&limits, 1, NOW), LIMITS_E_NONE_LEFT);
    assert_int_equal(wait_us, LIMITS_LONGEST_US);
    assert_int_equal(ask(&limits, 1, NOW + LIMITS_LONGEST_US), 0);
    HttpLimits said = {.retry_after = INT64_MAX, .cost = HTTP_LIMIT_UNKNOWN};
    limits_note(&limits, 1, "", &said, 429, NOW);
    assert_int_equal(ask(&limits, 2, NOW), LIMITS_E_PAUSED);
    assert_int_equal(wait_us, LIMITS_LONGEST_US);
    assert_int_equal(ask(&limits, 2, NOW + LIMITS_LONGEST_US), 0);
}

static void a_limit_without_a_reset_is_shown_and_holds_nothing_up(void **state)
{
    (void)state;
    Limits limits = {0};
    HttpLimits said = answer("", 0, 0);
    said.limit[0].reset = -1;
    note(&limits, 1, said, NOW);
    assert_int_equal(ask(&limits, 1, NOW), 0);
    assert_int_equal(limits.limit[0].remaining, 0);
}

static void what_is_reserved_for_people_is_left(void **state)
{
    (void)state;
    Limits limits = {.reserve = 10};
    note(&limits, 1, answer("core", 11, 60), NOW);
    assert_int_equal(ask(&limits, 1, NOW), 0);
    note(&limits, 1, answer("core", 10, 60), NOW);
    assert_int_equal(ask(&limits, 1, NOW), LIMITS_E_RESERVED);
    assert_int_equal(wait_us, 60 * CLOCK_SECOND);
    Limits part = {.reserve_percent = 30};
    note(&part, 1, answer("core", 31, 60), NOW);
    assert_int_equal(ask(&part, 1, NOW), 0);
    note(&part, 1, answer("core", 30, 60), NOW);
    assert_int_equal(ask(&part, 1, NOW), LIMITS_E_RESERVED);
    note(&part, 1, answer("core", 0, 60), NOW);
    assert_int_equal(ask(&part, 1, NOW), LIMITS_E_NONE_LEFT);
}

static void requests_under_way_are_counted_before_the_provider_tells(void **state)
{
    (void)state;
    Limits limits = {.reserve = 95};
    LimitsTicket ticket[6];
    note(&limits, 1, answer("core", 100, 60), NOW);
    for (int i = 0; i < 5; i++)
        assert_int_equal(limits_ask(&limits, 1, NOW, &ticket[i], &held_by, &wait_us), 0);
    assert_int_equal(limits_ask(&limits, 1, NOW, &ticket[5], &held_by, &wait_us), LIMITS_E_RESERVED);
    assert_int_equal(wait_us, CLOCK_SECOND);
    limits_end(&limits, &ticket[0]);
    limits_end(&limits, &ticket[0]); /* once is once */
    assert_int_equal(limits_ask(&limits, 1, NOW, &ticket[0], &held_by, &wait_us), 0);
    assert_int_equal(limits_ask(&limits, 1, NOW, &ticket[5], &held_by, &wait_us), LIMITS_E_RESERVED);
    for (int i = 0; i < 5; i++)
        limits_end(&limits, &ticket[i]);
    assert_int_equal(limits.limit[0].flying, 0);
}

static void answers_that_overtake_each_other_do_not_give_back(void **state)
{
    (void)state;
    Limits limits = {0};
    note(&limits, 1, answer("core", 3, 60), NOW);
    note(&limits, 1, answer("core", 7, 59), NOW + CLOCK_SECOND); /* sent before, come after */
    assert_int_equal(limits.limit[0].remaining, 3);
    note(&limits, 1, answer("core", 99, 3600), NOW + 2 * CLOCK_SECOND); /* another window */
    assert_int_equal(limits.limit[0].remaining, 99);
}

static void the_cost_of_graphql_is_what_is_said_or_what_the_use_rose_by(void **state)
{
    (void)state;
    Limits limits = {0};
    HttpLimits said = answer("graphql", 90, 600);
    assert_int_equal(note(&limits, 1, said, NOW), 1); /* nothing to compare it with */
    assert_int_equal(note(&limits, 1, answer("graphql", 75, 600), NOW), 15);
    assert_int_equal(note(&limits, 1, answer("graphql", 75, 600), NOW), 1);
    assert_int_equal(note(&limits, 1, answer("graphql", 80, 600), NOW), 1); /* an older answer */
    assert_int_equal(note(&limits, 1, answer("graphql", 70, 600), NOW), 5);
    assert_int_equal(note(&limits, 1, answer("graphql", 20, 3600), NOW), 1); /* another window */
    said = answer("graphql", 10, 3600);
    said.cost = 550;
    assert_int_equal(note(&limits, 1, said, NOW), 550);
    HttpLimits nothing = {.retry_after = -1, .cost = HTTP_LIMIT_UNKNOWN};
    assert_int_equal(note(&limits, 1, nothing, NOW), 1);
}

static void the_scarcer_of_two_limits_counts(void **state)
{
    (void)state;
    Limits limits = {0};
    HttpLimits said = answer("", 80, 60);
    said.limit[1] = (HttpLimit){SLICE_LITERAL("user"), 50, 0, HTTP_LIMIT_UNKNOWN, 30 * CLOCK_SECOND};
    said.n = 2;
    note(&limits, 1, said, NOW);
    assert_int_equal(ask(&limits, 1, NOW), LIMITS_E_NONE_LEFT);
    assert_string_equal(held_by->name, "user");
    assert_int_equal(wait_us, 30 * CLOCK_SECOND);
}

static void apis_of_one_provider_have_limits_of_their_own(void **state)
{
    (void)state;
    Limits limits = {0};
    HttpLimits none = answer("", 0, 60), some = answer("", 15000, 61), user = answer("user", 5, 60);
    limits_note(&limits, 1, "", &none, 200, NOW);
    limits_note(&limits, 2, "graphql", &some, 200, NOW);
    limits_note(&limits, 3, "agent.example", &user, 200, NOW);
    assert_int_equal(ask(&limits, 1, NOW), LIMITS_E_NONE_LEFT);
    assert_int_equal(ask(&limits, 2, NOW), 0);
    assert_int_equal(limits.n, 3);
    assert_string_equal(limits.limit[0].name, "");
    assert_string_equal(limits.limit[1].name, "graphql");
    assert_string_equal(limits.limit[2].name, "agent.example/user");
    HttpLimits named = answer("graphql", 14000, 61); /* GitHub calls it so itself */
    limits_note(&limits, 2, "graphql", &named, 200, NOW);
    assert_int_equal(limits.n, 3);
    assert_int_equal(limits.limit[1].remaining, 14000);
}

static void a_provider_with_endless_names_keeps_to_its_room(void **state)
{
    (void)state;
    Limits limits = {0};
    char name[100];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "limit-%060u", i);
        note(&limits, i, answer(name, 0, 60), NOW + i);
        assert_in_range(limits.n, 1, LIMITS_MAX);
    }
    snprintf(name, sizeof(name), "limit-%u", 1);
    note(&limits, 5000, answer(name, 0, 60), NOW + 2000);
    assert_int_equal(ask(&limits, 5000, NOW + 2000), LIMITS_E_NONE_LEFT);
    assert_string_equal(held_by->name, name);
    for (uint32_t kind = 0; kind < 1000;
         kind++) /* a kind whose limit was forgotten is unknown, not another's */
        if (ask(&limits, kind, NOW + 2000))
            assert_int_equal(strncmp(held_by->name, "limit-0", 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(github_says_when_by_the_clock),
        cmocka_unit_test(the_answers_own_date_is_the_clock_where_there_is_one),
        cmocka_unit_test(gitlab_and_buildkite_say_it_without_the_x),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(what_cannot_be_read_was_not_said),
        cmocka_unit_test(when_none_is_left_nothing_is_asked_until_the_reset),
        cmocka_unit_test(one_limit_that_is_used_up_does_not_hold_up_what_another_counts),
        cmocka_unit_test(kinds_do_not_make_each_other_forgotten_as_long_as_there_is_room),
        cmocka_unit_test(retry_after_stops_the_whole_source),
        cmocka_unit_test(nobody_waits_for_more_than_an_hour),
        cmocka_unit_test(a_limit_without_a_reset_is_shown_and_holds_nothing_up),
        cmocka_unit_test(what_is_reserved_for_people_is_left),
        cmocka_unit_test(requests_under_way_are_counted_before_the_provider_tells),
        cmocka_unit_test(answers_that_overtake_each_other_do_not_give_back),
        cmocka_unit_test(the_cost_of_graphql_is_what_is_said_or_what_the_use_rose_by),
        cmocka_unit_test(the_scarcer_of_two_limits_counts),
        cmocka_unit_test(apis_of_one_provider_have_limits_of_their_own),
        cmocka_unit_test(a_provider_with_endless_names_keeps_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
