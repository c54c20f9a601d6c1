/* Fields into checked rows: the small vocabulary, numbers, times, grants, keys. */
#include "clerk/row.h"

#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const Slice sources[] = {SLICE_LITERAL("github"), SLICE_LITERAL("buildkite")};
static RowContext context = {.run = SLICE_LITERAL("run-1"),
                             .retriever = SLICE_LITERAL("nightly"),
                             .source = sources,
                             .n_source = 1,
                             .until = 77};

static void test_words_of_every_provider_become_one_vocabulary(void **state)
{
    static const char *const words[][2] = {
        {"success", "success"},     {"passed", "success"},
        {"SUCCESS", "success"},     {"FAILURE", "failure"},
        {"failed", "failure"},      {"UNSTABLE", "failure"},
        {"canceled", "cancelled"},  {"ABORTED", "cancelled"},
        {"killed", "cancelled"},    {"in_progress", "running"},
        {"pending", "queued"},      {"NOT_BUILT", "skipped"},
        {"timed_out", "timed_out"}, {"startup_failure", "failure"},
        {"completed", "unknown"},   {"", "unknown"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_string_equal(row_status(slice_of(words[i][0])), words[i][1]);
}

static void test_only_decimal_numbers_that_a_double_holds_are_numbers(void **state)
{
    static const char *const good[] = {"0",  "-0",  "42",     "+1.5",  ".5",
                                       "5.", "1e3", "1E-300", "0e999", "0.0000"};
    static const char *const not_numbers[] = {"",   " 1", "1 ", "nan", "inf",   "0x1", "1e",
                                              "e1", ".",  "-",  "1,5", "1.2.3", "١"};
    static const char *const too_much[] = {"1e999", "-1e999", "1e-999"};
    double value;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(row_parse_real(slice_of(good[i]), &value), 0);
        assert_true(value == strtod(good[i], NULL));
    }
    value = 5;
    for (size_t i = 0; i < COUNT_OF(not_numbers); i++)
        assert_int_equal(row_parse_real(slice_of(not_numbers[i]), &value), -EINVAL);
    for (size_t i = 0; i < COUNT_OF(too_much); i++)
        assert_int_equal(row_parse_real(slice_of(too_much[i]), &value), -ERANGE);
    assert_true(value == 5);
}

static void test_whole_numbers_reach_both_ends_of_64_bits(void **state)
{
    int64_t value = 0;
    (void)state;
    assert_int_equal(row_parse_int(slice_of("-9223372036854775808"), &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(row_parse_int(slice_of("9223372036854775807"), &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(row_parse_int(slice_of("9223372036854775808"), &value), -ERANGE);
    assert_int_equal(row_parse_int(slice_of("-9223372036854775809"), &value), -ERANGE);
    assert_int_equal(row_parse_int(slice_of("+1"), &value), -EINVAL);
}

static int set(Row *row, const char *field, Input input, Fault *fault)
{
    int column = row_column_of(row, slice_of(field), 3);
    assert_true(column >= 0);
    return row_set(row, column, &input, fault);
}

static const Cell *cell(const Row *row, const char *name)
{
    for (size_t i = 0; i < row->table->n_column; i++)
        if (strcmp(row->table->column[i].name, name) == 0)
            return &row->cell[i];
    fail_msg("no column %s", name);
    return NULL;
}

static void start_job(Row *row)
{
    Fault fault;
    row_init(row, &context);
    row_begin(row, table_of_type(slice_of("job")));
    assert_int_equal(set(row, "scope", (Input){INPUT_TEXT, SLICE_LITERAL("a/b")}, &fault), 0);
    assert_int_equal(set(row, "id", (Input){.kind = INPUT_INT, .integer = 12345678901}, &fault), 0);
}

static void test_a_number_is_an_identifier_and_the_only_source_need_not_be_named(void **state)
{
    Row row;
    Fault fault = {""};
    (void)state;
    start_job(&row);
    assert_int_equal(row_finish(&row, (Slice){"", 0}, &fault), 0);
    assert_true(slice_is(cell(&row, "external_id")->text, "12345678901"));
    assert_true(slice_is(cell(&row, "source")->text, "github"));
    assert_true(slice_is(cell(&row, "status")->text, "unknown"));
    assert_int_equal(cell(&row, "attempt")->integer, 1);
    row_done(&row);
}

static void test_a_line_speaks_only_for_a_granted_source(void **state)
{
    Row row;
    Fault fault = {""};
    (void)state;
    start_job(&row);
    assert_int_equal(set(&row, "source", (Input){INPUT_TEXT, SLICE_LITERAL("buildkite")}, &fault), 0);
    assert_int_equal(row_finish(&row, (Slice){"", 0}, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "not granted to retriever nightly"));
    row_done(&row);
    context.n_source = 2;
    start_job(&row); /* two sources: which one? */
    assert_int_equal(row_finish(&row, (Slice){"", 0}, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "more than one"));
    row_done(&row);
    context.n_source = 1;
}

static void test_the_conclusion_outweighs_the_status(void **state)
{
    Row row;
    Fault fault = {""};
    (void)state;
    start_job(&row);
    assert_int_equal(set(&row, "conclusion", (Input){INPUT_TEXT, SLICE_LITERAL("timed_out")}, &fault), 0);
    assert_int_equal(set(&row, "status", (Input){INPUT_TEXT, SLICE_LITERAL("in_progress")}, &fault), 0);
    assert_int_equal(row_finish(&row, (Slice){"", 0}, &fault), 0);
    assert_true(slice_is(cell(&row, "status")->text, "timed_out"));
    assert_true(slice_is(cell(&row, "status_original")->text, "in_progress"));
    row_done(&row);
}

static void test_times_are_utc_and_must_say_their_offset(void **state)
{
    static const char *const bad[] = {
        "2020-06-05", "2020-06-05T14:11:38", "now", "2020-13-05T14:11:38Z", "1e99", "-1"};
    Row row;
    Fault fault = {""};
    (void)state;
    start_job(&row);
    assert_int_equal(
        set(&row, "started_at", (Input){INPUT_TEXT, SLICE_LITERAL("2020-06-05T16:11:38+02:00")}, &fault), 0);
    assert_int_equal(cell(&row, "started_at")->integer / CLOCK_SECOND, 1591366298);
    assert_int_equal(set(&row, "queued_at", (Input){INPUT_CELL, SLICE_LITERAL("1591366298.5")}, &fault), 0);
    assert_int_equal(cell(&row, "queued_at")->integer, 1591366298500000);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(set(&row, "queued_at", (Input){INPUT_CELL, slice_of(bad[i])}, &fault), -EINVAL);
    row_done(&row);
}

static void test_a_dead_letter_is_cut_and_safe_to_print(void **state)
{
    Row row;
    char line[10000];
    (void)state;
    memset(line, 0x1b, sizeof(line));
    row_init(&row, &context);
    row_set_dead(&row, slice_of("x.ndjson"), 7, "why", (Slice){line, sizeof(line)});
    Slice content = cell(&row, "content")->text;
    assert_int_equal(content.len, 4 * ROW_MAX_DEAD_CONTENT);
    assert_null(memchr(content.ptr, 0x1b, content.len));
    row_done(&row);
}

static void test_labels_with_the_same_content_have_the_same_key(void **state)
{
    Slice hash[2];
    char copy[2][64];
    static const char *const labels[] = {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":3}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        Row row;
        Fault fault = {""};
        row_init(&row, &context);
        row_begin(&row, table_of_type(slice_of("metric")));
        assert_int_equal(set(&row, "name", (Input){INPUT_TEXT, SLICE_LITERAL("m")}, &fault), 0);
        assert_int_equal(set(&row, "value", (Input){.kind = INPUT_INT, .integer = 1}, &fault), 0);
        assert_int_equal(set(&row, "labels", (Input){INPUT_JSON, slice_of(labels[i])}, &fault), 0);
        assert_int_equal(row_finish(&row, (Slice){"", 0}, &fault), 0);
        assert_int_equal(cell(&row, "at")->integer, context.until);
        hash[i] = cell(&row, "labels_hash")->text;
        memcpy(copy[i], hash[i].ptr, hash[i].len);
        hash[i].ptr = copy[i];
        row_done(&row);
    }
    assert_int_equal(hash[0].len, 32);
    assert_false(slice_equal(hash[0], hash[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_every_provider_become_one_vocabulary),
        cmocka_unit_test(test_only_decimal_numbers_that_a_double_holds_are_numbers),
        cmocka_unit_test(test_whole_numbers_reach_both_ends_of_64_bits),
        cmocka_unit_test(test_a_number_is_an_identifier_and_the_only_source_need_not_be_named),
        cmocka_unit_test(test_a_line_speaks_only_for_a_granted_source),
        cmocka_unit_test(test_the_conclusion_outweighs_the_status),
        cmocka_unit_test(test_times_are_utc_and_must_say_their_offset),
        cmocka_unit_test(test_a_dead_letter_is_cut_and_safe_to_print),
        cmocka_unit_test(test_labels_with_the_same_content_have_the_same_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
