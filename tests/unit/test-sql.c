/* One text in SQL for both databases: words, arguments, and what breaks them. */
#include "clerk/sql.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *text, const char *sqlite, const char *postgres)
{
    const char *const wanted[] = {[SQL_SQLITE] = sqlite, [SQL_POSTGRES] = postgres};
    for (int dialect = SQL_SQLITE; dialect <= SQL_POSTGRES; dialect++) {
        CLEANUP_BUF Buf sql = BUF_INIT(4096);
        assert_int_equal(sql_expand(slice_of(text), (SqlDialect)dialect, &sql), 0);
        assert_string_equal(buf_text(&sql), wanted[dialect]);
    }
}

static void words_are_replaced_and_the_rest_stays(void **state)
{
    (void)state;
    expect("", "", "");
    expect("a $int, b $real (c)", "a INTEGER, b REAL (c)", "a bigint, b double precision (c)");
    expect("$, $1 $unknown('$.x') $", "$, $1 $unknown('$.x') $", "$, $1 $unknown('$.x') $");
    expect("$integer", "$integer", "$integer");
    expect("x < $now()", "x < strftime('%Y-%m-%dT%H:%M:%fZ', 'now')()", "x < now()()");
}

static void functions_take_arguments_within_each_other(void **state)
{
    (void)state;
    expect("$either(a; b)(c)", "b(c)", "a(c)");
    expect("$either(f(x, (y)); $either(p; q)) z", "q z", "f(x, (y)) z");
    expect("$day( t )", "substr(t, 1, 10)", "(t AT TIME ZONE 'UTC')::date");
    expect("$member(s.value; name)", "json_extract(s.value, '$.name')", "(s.value ->> 'name')");
    expect("$index(x; t (a))", "", "CREATE INDEX x ON t (a);\n");
    expect("$quantile(0.5; $day(t))", "sum(substr(t, 1, 10) * max(0.0, 1.0 - abs(nth - 1 - 0.5 * (n - 1))))",
           "percentile_cont(0.5) WITHIN GROUP (ORDER BY (t AT TIME ZONE 'UTC')::date)");
}

static void what_has_no_end_or_too_much_in_it_is_refused(void **state)
{
    (void)state;
    static const char *const text[] = {"$day(t", "$either(a; (b)", "$either(a; b; c; d)",
                                       "$either($day(x; y)"};
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        CLEANUP_BUF Buf sql = BUF_INIT(4096);
        assert_int_equal(sql_expand(slice_of(text[i]), SQL_POSTGRES, &sql), -EINVAL);
    }
    CLEANUP_BUF Buf small = BUF_INIT(8);
    assert_int_equal(sql_expand(slice_of("$real and more"), SQL_POSTGRES, &small), -ENOBUFS);
}

static void views_are_found_by_name(void **state)
{
    (void)state;
    Slice at = slice_of("-- x\nCREATE VIEW one AS\nSELECT 1;\nCREATE VIEW two AS\nSELECT 2;\n"), name;
    assert_true(sql_next_view(&at, &name));
    assert_true(slice_is(name, "one"));
    assert_true(sql_next_view(&at, &name));
    assert_true(slice_is(name, "two"));
    assert_false(sql_next_view(&at, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_replaced_and_the_rest_stays),
        cmocka_unit_test(functions_take_arguments_within_each_other),
        cmocka_unit_test(what_has_no_end_or_too_much_in_it_is_refused),
        cmocka_unit_test(views_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
