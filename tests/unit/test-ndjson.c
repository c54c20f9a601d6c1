/* A line of JSON into a row, and what a hostile one may cost. */
#include "clerk/ndjson.h"

#include "clerk/reader.h"
#include "json/arena.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

static const Slice sources[] = {SLICE_LITERAL("github")};
static const RowContext context = {
    .run = SLICE_LITERAL("r"), .retriever = SLICE_LITERAL("t"), .source = sources, .n_source = 1};
static Ndjson ndjson;
static Row row;

static const char *refused(const char *line)
{
    static Fault fault;
    fault = (Fault){""};
    assert_int_equal(ndjson_parse(&ndjson, slice_of(line), &row, &fault), -EINVAL);
    return fault.text;
}

static Slice extra(void)
{
    for (size_t i = 0; i < row.table->n_column; i++)
        if (row.table->column[i].role == COLUMN_EXTRA && row.cell[i].set)
            return row.cell[i].text;
    return (Slice){"", 0};
}

static void test_what_no_column_takes_is_kept_as_json(void **state)
{
    Fault fault;
    (void)state;
    for (int i = 0; i < 3; i++) { /* the guesses of the line before must not mislead */
        assert_int_equal(ndjson_parse(&ndjson,
                                      slice_of("{\"z\":[1,{\"b\":2.5,\"a\":null}],\"id\":1,\"type\":\"job\","
                                               "\"scope\":\"s\",\"A\":\"\\u00e9\"}"),
                                      &row, &fault),
                         0);
        assert_true(slice_is(extra(), "{\"A\":\"\xC3\xA9\",\"z\":[1,{\"a\":null,\"b\":2.5}]}"));
        assert_int_equal(
            ndjson_parse(&ndjson, slice_of("{\"type\":\"run\",\"scope\":\"s\",\"id\":\"x\"}"), &row, &fault),
            0);
        assert_int_equal(extra().len, 0);
    }
}

static void test_each_refusal_says_why(void **state)
{
    (void)state;
    assert_non_null(strstr(refused("{\"type\":\"job\",\"type\":\"job\"}"), "duplicate"));
    assert_non_null(strstr(refused("{\"type\":\"job\",\"x\":\"\\u0000\"}"), "\\u0000"));
    assert_non_null(strstr(refused("{\"type\":\"job\",\"x\":1e999}"), "overflow"));
    assert_non_null(strstr(refused("{\"type\":\"job\",\"x\":99999999999999999999}"), "too big"));
    assert_non_null(strstr(refused("{\"type\":\"dead_letter\"}"), "unknown `type`"));
    assert_non_null(strstr(refused("{\"type\":\"\"}"), "unknown `type`"));
    assert_non_null(strstr(refused("{\"x\":1} trailing"), "end of file expected"));
    assert_non_null(strstr(refused(""), "not JSON"));
}

static void test_depth_is_bounded(void **state)
{
    char line[512];
    (void)state;
    for (int depth = 30; depth < 40; depth++) {
        Fault fault = {""};
        char open[64] = "", close[64] = "";
        memset(open, '[', (size_t)depth - 1);
        memset(close, ']', (size_t)depth - 1);
        snprintf(line, sizeof(line), "{\"type\":\"job\",\"scope\":\"s\",\"id\":1,\"x\":%s%s}", open, close);
        assert_int_equal(ndjson_parse(&ndjson, slice_of(line), &row, &fault),
                         depth <= NDJSON_MAX_DEPTH ? 0 : -EINVAL);
    }
}

static void test_a_line_cannot_take_more_memory_than_the_arena_has(void **state)
{
    (void)state;
    size_t n = READER_MAX_LINE;
    char *line = malloc(n + 1);
    assert_non_null(line);
    memset(line, '[', n);
    line[n] = '\0';
    assert_non_null(strstr(refused(line), "not JSON"));
    memset(line, 'x', n);
    memcpy(line, "{\"x\":[", 6);
    for (size_t i = 6; i + 3 < n; i += 3)
        memcpy(line + i, "{},", 3);
    memcpy(line + n - 4, "0]} ", 4);
    refused(line);
    free(line);
    json_arena_reset();
    assert_non_null(json_object()); /* and what it took is free again */
}

static void test_lines_come_out_of_the_window_at_every_length(void **state)
{
    (void)state;
    Reader reader;
    reader_init(&reader);
    const size_t lens[] = {0, 1, 262143, 262144, 262145, 1048576, 1048577, 3000000, 5};
    int fd = memfd_create("lines", MFD_CLOEXEC);
    assert_true(fd >= 0);
    char *line = malloc(3000001);
    assert_non_null(line);
    uint64_t total = 0;
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        memset(line, 'a' + (int)i, lens[i]);
        line[lens[i]] = '\n';
        assert_int_equal(write(fd, line, lens[i] + 1), lens[i] + 1);
        total += lens[i] + 1;
    }
    reader_open(&reader, fd, total - 1); /* the last one has no line end */
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        Slice found;
        size_t len;
        bool whole;
        int r = reader_line(&reader, &found, &len, &whole);
        if (lens[i] > READER_MAX_LINE) {
            assert_int_equal(r, -EFBIG);
            assert_true(found.len > READER_MAX_LINE && found.ptr[0] == 'a' + (int)i);
            assert_int_equal(reader_skip_line(&reader), 0);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(found.len, lens[i]);
        assert_true(found.len == 0 ||
                    (found.ptr[0] == 'a' + (int)i && found.ptr[found.len - 1] == 'a' + (int)i));
        assert_int_equal(whole, i + 1 < COUNT_OF(lens));
        reader_consume(&reader, len);
    }
    Slice found;
    size_t len;
    bool whole;
    assert_int_equal(reader_line(&reader, &found, &len, &whole), -ENODATA);
    free(line);
    close(fd);
    reader_done(&reader);
}

static int setup(void **state)
{
    (void)state;
    json_arena_install(NDJSON_ARENA);
    ndjson_init(&ndjson);
    row_init(&row, &context);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ndjson_done(&ndjson);
    row_done(&row);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_column_takes_is_kept_as_json),
        cmocka_unit_test(test_each_refusal_says_why),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_a_line_cannot_take_more_memory_than_the_arena_has),
        cmocka_unit_test(test_lines_come_out_of_the_window_at_every_length),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
