/* The pure parts of the runner: what a script printed as lines, and its environment from nothing. */
#include "base/io.h"
#include "base/mem.h"
#include "runner/environment.h"
#include "runner/output.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <setjmp.h>

#include <cmocka.h>

static OutputStream stream;
static OutputSink sink;

static int set_up(void **state)
{
    (void)state;
    memset(&stream, 0, sizeof(stream));
    stream.fd = -1;
    sink = (OutputSink){.name = "hunter", .print_fd = memfd_create("printed", MFD_CLOEXEC), .log_fd = -1};
    return sink.print_fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    fd_close(&sink.print_fd);
    return 0;
}

static void expect_printed(const char *text)
{
    CLEANUP_BUF Buf printed = BUF_INIT(1u << 20);
    assert_int_equal(lseek(sink.print_fd, 0, SEEK_SET), 0);
    assert_int_equal(io_read_all(sink.print_fd, &printed), 0);
    assert_string_equal(buf_text(&printed), text);
}

static void take(const char *text)
{
    output_take(&sink, &stream, text, strlen(text));
}

static void test_lines_are_whole_however_their_bytes_arrive(void **state)
{
    (void)state;
    const char *text = "one\ntwo\r\n\nthree\r25%\r50%";
    for (const char *p = text; *p; p++)
        output_take(&sink, &stream, p, 1);
    output_flush(&sink, &stream);
    expect_printed("hunter | one\nhunter | two\nhunter | \nhunter | three\nhunter | 25%\nhunter | 50%\n");
}

static void test_nothing_that_a_terminal_obeys_gets_through(void **state)
{
    (void)state;
    take("a\x1b[2Jb\x07\x7f\tc\n");
    take("\xc2\x9b"
         "2J\n");
    expect_printed("hunter | a\\x1b[2Jb\\x07\\x7f c\nhunter | \\x9b2J\n");
}

static void test_a_long_line_is_cut_once_and_the_next_is_whole(void **state)
{
    (void)state;
    CLEANUP_BUF Buf expected = BUF_INIT(1u << 20);
    assert_int_equal(buf_append_text(&expected, "hunter | "), 0);
    for (size_t i = 0; i < 3 * OUTPUT_MAX_LINE; i++) {
        take("y");
        if (i < OUTPUT_MAX_LINE)
            assert_int_equal(buf_append_text(&expected, "y"), 0);
    }
    take("\nnext\n");
    assert_int_equal(buf_append_text(&expected, " [cut]\nhunter | next\n"), 0);
    expect_printed(buf_text(&expected));
}

static void test_environment_replaces_and_refuses_what_is_no_variable(void **state)
{
    (void)state;
    CLEANUP_ENVIRONMENT Environment environment = {.n = 0};
    assert_int_equal(environment_set_text(&environment, "TOKEN", "one"), 0);
    assert_int_equal(environment_set_text(&environment, "TOKEN_2", "other"), 0);
    assert_int_equal(environment_set_text(&environment, "TOKEN", "two"), 0);
    assert_int_equal(environment.n, 2);
    assert_string_equal(environment_get(&environment, "TOKEN"), "two");
    assert_string_equal(environment_get(&environment, "TOKEN_2"), "other");
    assert_null(environment_get(&environment, "TOK"));
    assert_int_equal(environment_set_text(&environment, "", "x"), -EINVAL);
    assert_int_equal(environment_set_text(&environment, "A=B", "x"), -EINVAL);
    assert_int_equal(environment_set(&environment, SLICE_LITERAL("A"), SLICE_LITERAL("x\0y")), -EINVAL);
    assert_int_equal(environment.n, 2);
    assert_null(environment.entry[2]);
}

static void test_environment_is_bounded(void **state)
{
    (void)state;
    CLEANUP_ENVIRONMENT Environment environment = {.n = 0};
    for (int i = 0; i < ENVIRONMENT_MAX; i++) {
        CLEANUP_MEM char *name = mem_printf("V%d", i);
        assert_int_equal(environment_set_text(&environment, name, ""), 0);
    }
    assert_int_equal(environment_set_text(&environment, "ONE_MORE", ""), -ENOBUFS);
    assert_int_equal(environment_set_text(&environment, "V7", "still replaced"), 0);
}

static void test_the_virtual_environment_comes_first_in_the_path(void **state)
{
    (void)state;
    CLEANUP_ENVIRONMENT Environment environment = {.n = 0};
    assert_int_equal(environment_set_usual(&environment, "hunter"), 0);
    assert_int_equal(environment_set_text(&environment, "PATH", "/opt/own"), 0);
    assert_int_equal(environment_set_folders(&environment, "/work", "/out", "/env"), 0);
    assert_string_equal(environment_get(&environment, "PATH"), "/env/bin:/opt/own");
    assert_string_equal(environment_get(&environment, "VIRTUAL_ENV"), "/env");
    assert_string_equal(environment_get(&environment, "HOME"), "/work");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_are_whole_however_their_bytes_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_that_a_terminal_obeys_gets_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_line_is_cut_once_and_the_next_is_whole, set_up,
                                        tear_down),
        cmocka_unit_test(test_environment_replaces_and_refuses_what_is_no_variable),
        cmocka_unit_test(test_environment_is_bounded),
        cmocka_unit_test(test_the_virtual_environment_comes_first_in_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
