/* RFC 4180: where records end, how cells are unquoted, and what one stray quote costs. */
#include "clerk/csv.h"

#include "clerk/ndjson.h"
#include "json/arena.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const Slice sources[] = {SLICE_LITERAL("github")};
static const RowContext context = {
    .run = SLICE_LITERAL("r"), .retriever = SLICE_LITERAL("t"), .source = sources, .n_source = 1};

static void step(const char *text, bool last, CsvStep expected, size_t expected_len)
{
    size_t len = 0;
    assert_int_equal(csv_step(slice_of(text), last, &len), expected);
    assert_int_equal(len, expected_len);
}

static void test_a_record_ends_at_a_line_end_outside_quotes(void **state)
{
    (void)state;
    step("a,b\nc", false, CSV_RECORD, 4);
    step("a,\"b\nc\"\r\nd", false, CSV_RECORD, 9);
    step("a,\"\"\"\n\"\nd", false, CSV_RECORD, 8);
    step("a,b", false, CSV_MORE, 0);
    step("a,b", true, CSV_RECORD, 3);
    step("a,\"b\n", false, CSV_MORE, 0);
}

static void test_broken_quotes_cost_one_line(void **state)
{
    (void)state;
    step("a,\"b\nc,d\n", true, CSV_BROKEN, 5);
    step("a,b\"c\nd\n", false, CSV_BROKEN, 6);
    step("a,\"b\"c\nd\n", false, CSV_BROKEN, 7);
    step("a,\"b\"c", false, CSV_MORE, 0); /* its first line has not ended yet */
    step("a,\"b\"c", true, CSV_BROKEN, 6);
}

static void test_cells_are_unquoted_and_empty_ones_are_no_value(void **state)
{
    Csv csv;
    Row row;
    Fault fault = {""};
    (void)state;
    csv_init(&csv);
    row_init(&row, &context);
    assert_int_equal(csv_header(&csv, slice_of("scope,id,name,workflow,colour\r\n"),
                                table_of_file(slice_of("a/jobs.csv")), &fault),
                     0);
    assert_int_equal(csv_parse(&csv, slice_of("s,7,\"a \"\"b\"\",\n\",,\"\"\"\"\r\n"), &row, &fault), 0);
    int name = row_column_of(&row, slice_of("name"), 0),
        workflow = row_column_of(&row, slice_of("workflow"), 0);
    assert_true(slice_is(row.cell[name].text, "a \"b\",\n"));
    assert_false(row.cell[workflow].set);
    for (size_t i = 0; i < row.table->n_column; i++)
        if (row.table->column[i].role == COLUMN_EXTRA)
            assert_true(slice_is(row.cell[i].text, "{\"colour\":\"\\\"\"}"));
    assert_int_equal(csv_parse(&csv, slice_of("s,7,a,b\n"), &row, &fault), -EINVAL);
    assert_string_equal(fault.text, "4 cells where the header line has 5");
    assert_int_equal(csv_parse(&csv, slice_of("\r\n"), &row, &fault), -ENODATA);
    row_done(&row);
    csv_done(&csv);
}

static void test_the_files_name_says_what_its_lines_are(void **state)
{
    (void)state;
    assert_ptr_equal(table_of_file(slice_of("jobs.csv")), &table_list[TABLE_JOB]);
    assert_ptr_equal(table_of_file(slice_of("x/y/ci_job.csv")), &table_list[TABLE_JOB]);
    assert_ptr_equal(table_of_file(slice_of("metric.csv")), &table_list[TABLE_METRIC]);
    assert_null(table_of_file(slice_of("dead_letter.csv")));
    assert_null(table_of_file(slice_of(".csv")));
    assert_null(table_of_file(slice_of("s.csv")));
    assert_null(table_of_file(slice_of("job.ndjson")));
}

static int setup(void **state)
{
    (void)state;
    json_arena_install(NDJSON_ARENA);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_ends_at_a_line_end_outside_quotes),
        cmocka_unit_test(test_broken_quotes_cost_one_line),
        cmocka_unit_test(test_cells_are_unquoted_and_empty_ones_are_no_value),
        cmocka_unit_test(test_the_files_name_says_what_its_lines_are),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
