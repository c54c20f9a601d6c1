/* A caveat says what it says, to the byte, or nothing at all. */
#include "base/clock.h"
#include "graphql/graphql.h"
#include "http/head.h"
#include "lease/caveat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static Caveat parse(const char *text)
{
    Caveat caveat;
    if (caveat_parse(text, &caveat) != 0)
        fail_msg("%s is refused", text);
    return caveat;
}

static void a_word_that_is_not_known_is_told_from_a_value_that_cannot_be_read(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "",        "expires",  "=",        "=x",         "expire=2026-01-01T00:00:00Z",
        "PATH=/x", " path=/x", "path =/x", "requests 5", "responseBytes=5"};
    static const char *const unreadable[] = {"expires=",
                                             "expires=2026-01-01",
                                             "expires=2026-01-01T00:00:00",
                                             "expires=2026-01-01T00:00:00+00:00",
                                             "expires=2026-02-30T00:00:00Z",
                                             "expires=5m",
                                             "expires= 2026-01-01T00:00:00Z",
                                             "host=",
                                             "host=API.github.com",
                                             "host=api.github.com:443",
                                             "host=https://api.github.com",
                                             "method=",
                                             "method=get",
                                             "method=GET,",
                                             "method=,GET",
                                             "method=GET, HEAD",
                                             "method=TRACE",
                                             "method=*",
                                             "path=",
                                             "path=repos",
                                             "path=/a/**/b",
                                             "path=/a*",
                                             "path=/a/../b",
                                             "path=/a//b",
                                             "path=/%61",
                                             "path=/a?b=c",
                                             "graphql=",
                                             "graphql=subscription",
                                             "graphql=none,query",
                                             "graphql=QUERY",
                                             "requests=",
                                             "requests=-1",
                                             "requests=1e3",
                                             "requests=01",
                                             "requests=99999999999999999999",
                                             "requests= 5",
                                             "bytes=1MiB",
                                             "bytes=5 "};
    Caveat caveat = {.number = 77};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        if (caveat_parse(unknown[i], &caveat) != CAVEAT_E_UNKNOWN)
            fail_msg("%s is known", unknown[i]);
    for (size_t i = 0; i < COUNT_OF(unreadable); i++)
        if (caveat_parse(unreadable[i], &caveat) != CAVEAT_E_VALUE)
            fail_msg("%s is read", unreadable[i]);
    assert_int_equal(caveat.number, 77);
}

static void each_word_has_its_value(void **state)
{
    (void)state;
    assert_int_equal(parse("expires=2026-01-02T03:04:05Z").expires, 1767323045ll * CLOCK_SECOND);
    assert_string_equal(parse("host=api.github.com").value, "api.github.com");
    assert_int_equal(parse("method=GET,HEAD").set, HTTP_GET | HTTP_HEAD);
    assert_string_equal(parse("path=/repos/*/x/**").value, "/repos/*/x/**");
    assert_int_equal(parse("graphql=query").set, GRAPHQL_QUERY);
    assert_int_equal(parse("graphql=query,mutation").set, GRAPHQL_QUERY | GRAPHQL_MUTATION);
    assert_int_equal(parse("graphql=none").set, 0);
    assert_int_equal(parse("requests=0").number, 0);
    assert_int_equal(parse("bytes=1000000").number, 1000000);
    for (CaveatWord word = 0; word < CAVEAT_WORDS; word++)
        assert_true(caveat_word_text(word)[0] && caveat_value_text(word)[0]);
}

static bool allows(const char *text, CaveatUse use)
{
    Caveat caveat = parse(text);
    return caveat_allows(&caveat, &use);
}

#define REST(path_) ((CaveatUse){.host = "api.test", .methods = HTTP_GET, .path = SLICE_LITERAL(path_)})
#define GRAPHQL(operations_)                                                                                 \
    ((CaveatUse){.host = "api.test", .methods = HTTP_POST, .graphql = true, .operations = (operations_)})

static void time_ends_at_the_second(void **state)
{
    (void)state;
    CaveatUse use = REST("/x");
    use.wall = 1767323045ll * CLOCK_SECOND - 1;
    assert_true(allows("expires=2026-01-02T03:04:05Z", use));
    use.wall++;
    assert_false(allows("expires=2026-01-02T03:04:05Z", use));
}

static void a_path_is_matched_byte_for_byte(void **state)
{
    (void)state;
    assert_true(allows("path=/repos/*/runs", REST("/repos/a/runs")));
    assert_false(allows("path=/repos/*/runs", REST("/repos/a/runs/")));
    assert_false(allows("path=/repos/*/runs", REST("/repos/a/Runs")));
    assert_false(allows("path=/repos/*/runs", REST("/repos/a/b/runs")));
    assert_false(allows("path=/repos/*/runs", REST("/repos//runs")));
    assert_false(allows("path=/repos/**", REST("/repos/")));
    assert_false(allows("path=/repos/**", REST("/repos")));
    assert_true(allows("path=/repos/**", REST("/repos/a/b")));
    assert_false(allows("path=/**", REST("")));
    assert_false(allows("path=/**", REST("x")));
}

static void every_method_that_counts_must_be_named(void **state)
{
    (void)state;
    CaveatUse use = REST("/x");
    assert_true(allows("method=GET", use));
    assert_false(allows("method=HEAD", use));
    use.methods = HTTP_GET | HTTP_DELETE;
    assert_false(allows("method=GET", use));
    assert_true(allows("method=DELETE,GET", use));
    use.methods = 0;
    assert_false(allows("method=GET", use));
}

static void a_host_is_its_whole_name(void **state)
{
    (void)state;
    assert_true(allows("host=api.test", REST("/x")));
    assert_false(allows("host=pi.test", REST("/x")));
    assert_false(allows("host=api.test.evil", REST("/x")));
}

static void graphql_is_limited_to_operations_and_has_no_path(void **state)
{
    (void)state;
    assert_true(allows("graphql=query", REST("/x")));
    assert_true(allows("graphql=none", REST("/x")));
    assert_true(allows("graphql=query", GRAPHQL(GRAPHQL_QUERY)));
    assert_false(allows("graphql=query", GRAPHQL(GRAPHQL_MUTATION)));
    assert_false(allows("graphql=query", GRAPHQL(GRAPHQL_QUERY | GRAPHQL_MUTATION)));
    assert_true(allows("graphql=query,mutation", GRAPHQL(GRAPHQL_QUERY | GRAPHQL_MUTATION)));
    assert_false(allows("graphql=query,mutation", GRAPHQL(GRAPHQL_SUBSCRIPTION)));
    assert_false(allows("graphql=query", GRAPHQL(0))); /* nobody knows what it does */
    assert_false(allows("graphql=none", GRAPHQL(GRAPHQL_QUERY)));
    assert_false(allows("path=/**", GRAPHQL(GRAPHQL_QUERY)));
    assert_false(allows("method=GET", GRAPHQL(GRAPHQL_QUERY)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_that_is_not_known_is_told_from_a_value_that_cannot_be_read),
        cmocka_unit_test(each_word_has_its_value),
        cmocka_unit_test(time_ends_at_the_second),
        cmocka_unit_test(a_path_is_matched_byte_for_byte),
        cmocka_unit_test(every_method_that_counts_must_be_named),
        cmocka_unit_test(a_host_is_its_whole_name),
        cmocka_unit_test(graphql_is_limited_to_operations_and_has_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
