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

static bool taken(const char *line)
{
    Fault fault = {""};
    return ndjson_parse(&ndjson, slice_of(line), &row, &fault) == 0;
}

static Slice text_in(const char *column)
{
    for (size_t i = 0; i < row.table->n_column; i++)
        if (strcmp(row.table->column[i].name, column) == 0 && row.cell[i].set)
            return row.cell[i].text;
    return (Slice){"", 0};
}

static void test_a_line_is_the_same_in_whatever_form_json_allows(void **state)
{
    static const char *const same[] = {
        "{\"type\":\"job\",\"scope\":\"s\",\"id\":7,\"name\":\"\xC3\xA9/"
        "\",\"run_id\":null,\"x\":[1,\"a\"],\"y\":2,\"z\":\"\xE2\x82\xAC\"}",
        "{\"type\":\"job\",\"z\":\"\\u20ac\",\"y\":2,\"x\":[1,\"\\u0061\"],\"name\":\"\\u00e9\\/"
        "\",\"id\":\"7\",\"scope\":\"s\"}",
        " {\t\"scope\" : \"s\" ,\r \"id\" :\t7 , \"name\" : \"\xC3\xA9/\" , \"z\":\"\xE2\x82\xAC\", \"x\" : "
        "[ 1 , \"a\" ] "
        ", \"y\" : 2 "
        ", \"type\" : \"job\" } ",
        "{\"\\u0074ype\":\"j\\u006fb\",\"sc\\u006fpe\":\"s\",\"id\":7,\"name\":\"\xC3\xA9\\/"
        "\",\"\\u0078\":[1,\"a\"],\"y\":2,"
        "\"z\":\"\xE2\x82\xAC\"}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        if (!taken(same[i]))
            fail_msg("%s is not taken", same[i]);
        assert_true(slice_is(text_in("external_id"), "7") && slice_is(text_in("scope"), "s"));
        assert_true(slice_is(text_in("name"), "\xC3\xA9/"));
        assert_int_equal(text_in("run_id").len, 0);
        assert_true(slice_is(extra(), "{\"x\":[1,\"a\"],\"y\":2,\"z\":\"\xE2\x82\xAC\"}"));
    }
}

static void test_a_key_comes_once(void **state)
{
    static const char *const twice[] = {
        "\"id\":2",
        "\"i\\u0064\":2",
        "\"run_id\":\"r\",\"run_id\":null",
        "\"run_id\":null,\"run_id\":\"r\"",
        "\"type\":\"job\"",
        "\"t\\u0079pe\":\"job\"",
        "\"x\":1,\"x\":1",
        "\"x\":null,\"\\u0078\":1",
        "\"\":1,\"\":1",
        "\"x\":{\"a\":1,\"a\":1}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(twice); i++) {
        char line[256];
        snprintf(line, sizeof(line), "{\"type\":\"job\",\"scope\":\"s\",\"id\":1,%s}", twice[i]);
        if (!strstr(refused(line), "duplicate"))
            fail_msg("%s: %s", line, refused(line));
    }
}

static void test_what_is_nearly_json_is_refused(void **state)
{
    static const char *const nearly[] = {
        "\"x\":01",
        "\"x\":-01",
        "\"x\":-",
        "\"x\":1.",
        "\"x\":.5",
        "\"x\":1e",
        "\"x\":1x",
        "\"x\":0x1",
        "\"x\":+1",
        "\"x\":tru",
        "\"x\":NaN",
        "\"x\":",
        "\"x\"",
        "\"x\" 1",
        "\"x\":1,",
        ",\"x\":1",
        "x:1",
        "'x':1",
        "\"x\":'1'",
        "\"x\":1 \"y\":2",
        "\"x\":1;",
        "\"x\":\"\t\"",
        "\"x\":\"\x1f\"",
        "\"x\":\"\xff\"",
        "\"x\":\"\xC3\"",
        "\"\xC3\":1",
        "\"x\":\"\\x\"",
        "\"x\":\"\\u12\"",
        "\"x\":\"\\ud800\"",
        "\"x\":[1,]",
        "\"x\":{\"a\"}",
        "\"x\":\"\xED\xA0\x80\"",
        "\"x\":1}}",
        "\"x\":1} {",
        "\"x\":\"",
        "\"x\":\"\\",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(nearly); i++) {
        char line[256];
        snprintf(line, sizeof(line), "{\"type\":\"job\",\"scope\":\"s\",\"id\":1,%s}", nearly[i]);
        if (!strstr(refused(line), "not JSON:"))
            fail_msg("%s: %s", line, refused(line));
    }
    Fault why = {""};
    Slice nul = SLICE_LITERAL("{\"type\":\"job\",\"scope\":\"s\",\"id\":1\0}");
    assert_int_equal(ndjson_parse(&ndjson, nul, &row, &why), -EINVAL);
    assert_non_null(strstr(why.text, "NUL"));
    for (size_t len = 1; len < strlen("{\"type\":\"job\",\"scope\":\"s\",\"id\":1}"); len++) {
        Fault fault = {""};
        Slice part = {"{\"type\":\"job\",\"scope\":\"s\",\"id\":1}", len};
        assert_int_equal(ndjson_parse(&ndjson, part, &row, &fault), -EINVAL);
    }
}

static void test_whole_numbers_are_exact_up_to_64_bits(void **state)
{
    static const char *const numbers[] = {"0",
                                          "-1",
                                          "999999999999999999",
                                          "-999999999999999999",
                                          "1000000000000000000",
                                          "9223372036854775807",
                                          "-9223372036854775808"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char line[256], kept[64];
        snprintf(line, sizeof(line), "{\"type\":\"job\",\"scope\":\"s\",\"id\":%s,\"x\":%s}", numbers[i],
                 numbers[i]);
        snprintf(kept, sizeof(kept), "{\"x\":%s}", numbers[i]);
        assert_true(taken(line) && slice_is(text_in("external_id"), numbers[i]) && slice_is(extra(), kept));
    }
    assert_true(taken("{\"type\":\"job\",\"scope\":\"s\",\"id\":-0}") &&
                slice_is(text_in("external_id"), "0"));
    assert_non_null(strstr(refused("{\"type\":\"job\",\"x\":9223372036854775808}"), "too big"));
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
        cmocka_unit_test(test_a_line_is_the_same_in_whatever_form_json_allows),
        cmocka_unit_test(test_a_key_comes_once),
        cmocka_unit_test(test_what_is_nearly_json_is_refused),
        cmocka_unit_test(test_whole_numbers_are_exact_up_to_64_bits),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_a_line_cannot_take_more_memory_than_the_arena_has),
        cmocka_unit_test(test_lines_come_out_of_the_window_at_every_length),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
