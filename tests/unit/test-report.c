/* What is known of a run survives being written and read; a file that is not one is no run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "supervisor/report.h"
#include "supervisor/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static int fresh_folder(char *path)
{
    strcpy(path, "/tmp/purser-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void remove_folder(const char *path, int fd)
{
    close(fd);
    assert_int_equal(tree_remove(AT_FDCWD, path), 0);
}

static RunReport example(void)
{
    RunReport report = {.id = "20261123T000000Z-github-00ff",
                        .retriever = "github",
                        .status = RUN_NOT_LOADED,
                        .sentence = "The database \"ci\" is gone:\n\x1b[31mred",
                        .started = 1700000000000000,
                        .ended = 1700000009000001,
                        .since = 1690000000000000,
                        .until = 1700000000000000,
                        .exit_status = 0,
                        .rows = 7,
                        .unchanged = UINT32_MAX,
                        .dead = 1,
                        .files = 2,
                        .output_kept = true,
                        .advance = true};
    size_t n = 0;
    MEM_PUSH(report.source_name, n, mem_strdup("github"));
    MEM_PUSH(report.source, report.n_source,
             (RunSource){.requests = 10, .refused = 3, .redacted = 1, .token_set = 1690000000000000});
    MEM_PUSH(report.limit, report.n_limit,
             (RunLimit){.name = "core \"x\"",
                        .limit = 5000,
                        .remaining = UINT64_MAX,
                        .reserved = 20,
                        .told = 1700000001000000,
                        .reset = 1700003600000000});
    MEM_PUSH(report.refusal, report.n_refusal,
             (RunRefusal){.code = "path-denied",
                          .method = "GET",
                          .host = "api.github.com",
                          .path = "/a: {b}",
                          .sentence = "It's \"denied\" by rule 3",
                          .count = 3});
    return report;
}

static void a_report_is_read_as_it_was_written(void **state)
{
    (void)state;
    char path[64];
    int fd = fresh_folder(path);
    RunReport report = example(), back;
    assert_int_equal(run_report_write(&report, fd), 0);
    assert_int_equal(run_report_read(fd, &back), 0);
    assert_string_equal(back.id, report.id);
    assert_string_equal(back.sentence, report.sentence);
    assert_int_equal(back.status, RUN_NOT_LOADED);
    assert_true(back.started == report.started && back.ended == report.ended && back.since == report.since);
    assert_true(back.rows == 7 && back.unchanged == UINT32_MAX && back.output_kept && back.advance);
    assert_int_equal(back.n_refusal, 1);
    assert_string_equal(back.refusal[0].path, "/a: {b}");
    assert_string_equal(back.refusal[0].sentence, report.refusal[0].sentence);
    assert_string_equal(back.source_name[0], "github");
    assert_true(back.source[0].redacted == 1 && back.source[0].token_set == 1690000000000000);
    assert_int_equal(back.n_limit, 1);
    assert_string_equal(back.limit[0].name, "core \"x\"");
    assert_true(back.limit[0].limit == 5000 && back.limit[0].remaining == UINT64_MAX);
    assert_true(back.limit[0].reserved == 20 && back.limit[0].told == 1700000001000000 &&
                back.limit[0].reset == 1700003600000000);
    run_report_done(&report);
    run_report_done(&back);
    remove_folder(path, fd);
}

/* Every text of the basic plane: what YAML has no place for, too. */
static void strangers_texts_make_no_report_unreadable(void **state)
{
    (void)state;
    char path[64], text[700];
    int fd = fresh_folder(path);
    for (unsigned point = 0x80; point < 0x10000;) {
        RunReport report = {.id = "20261123T000000Z-github-00ff", .retriever = "github"}, back;
        size_t n = 0;
        for (; n < 600 && point < 0x10000; point++) {
            if (point >= 0x800)
                text[n++] = (char)(0xE0 | point >> 12);
            text[n++] = (char)(point >= 0x800 ? 0x80 | (point >> 6 & 0x3F) : 0xC0 | point >> 6);
            text[n++] = (char)(0x80 | (point & 0x3F));
            point = point == 0xD7FF ? 0xDFFF : point; /* surrogates are none */
        }
        memcpy(report.sentence, text, n);
        assert_int_equal(run_report_write(&report, fd), 0);
        if (run_report_read(fd, &back))
            fail_msg("one of those before U+%04X", point);
        assert_string_equal(back.sentence, report.sentence);
        run_report_done(&back);
    }
    remove_folder(path, fd);
}

static void a_clock_that_was_set_back_makes_no_run_last_for_ages(void **state)
{
    (void)state;
    char took[24];
    RunReport report = {.started = 1700000000000000, .ended = 1700000065000000};
    assert_string_equal(run_report_took(&report, took), "1m 5s");
    report.ended = report.started - 1;
    assert_string_equal(run_report_took(&report, took), "0.0s");
}

static void what_is_not_a_report_is_no_run(void **state)
{
    (void)state;
    static const char *const text[] = {"", "[]", "{", "{\"id\":\"x\",\"retriever\":\"../x\"}",
                                       "{\"retriever\":\"a\"}"};
    char path[64];
    int fd = fresh_folder(path);
    RunReport report;
    assert_int_not_equal(run_report_read(fd, &report), 0);
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        assert_int_equal(state_write(fd, "run.json", slice_of(text[i]), 0600), 0);
        assert_int_not_equal(run_report_read(fd, &report), 0);
    }
    remove_folder(path, fd);
}

static void reports_are_listed_newest_first_and_bounded(void **state)
{
    (void)state;
    char path[64];
    int fd = fresh_folder(path);
    for (int i = 0; i < 5; i++) {
        RunReport report = {.retriever = "a"};
        snprintf(report.id, sizeof(report.id), "2026112%dT000000Z-a-0000", i);
        assert_int_equal(mkdirat(fd, report.id, 0700), 0);
        CLEANUP_FD int folder = openat(fd, report.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(run_report_write(&report, folder), 0);
    }
    RunReport *list;
    size_t n;
    assert_int_equal(run_report_list(fd, "a", 3, &list, &n), 0);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].id, "20261124T000000Z-a-0000");
    assert_string_equal(list[2].id, "20261122T000000Z-a-0000");
    mem_free(list);
    assert_int_equal(run_report_list(fd, "b", 3, &list, &n), 0);
    assert_int_equal(n, 0);
    mem_free(list);
    remove_folder(path, fd);
}

static void refusals_are_counted_by_code(void **state)
{
    (void)state;
    static const RunRefusal kinds[] = {
        {.code = "path-denied", .path = "/a", .count = 3},
        {.code = "host-unknown", .count = 1},
        {.code = "path-denied", .path = "/b", .count = 2},
        {.code = RUN_WOULD_REFUSE, .count = 7},
    };
    CLEANUP_BUF Buf text = BUF_INIT(256);
    JsonWriter json = JSON_WRITER(&text);
    RunReport report = {0};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        MEM_PUSH(report.refusal, report.n_refusal, kinds[i]);
    run_report_refusal_counts(&report, &json);
    assert_int_equal(json_finish(&json), 0);
    assert_string_equal(buf_text(&text), "{\"path-denied\":5,\"host-unknown\":1}");
    run_report_done(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_read_as_it_was_written),
        cmocka_unit_test(strangers_texts_make_no_report_unreadable),
        cmocka_unit_test(a_clock_that_was_set_back_makes_no_run_last_for_ages),
        cmocka_unit_test(what_is_not_a_report_is_no_run),
        cmocka_unit_test(reports_are_listed_newest_first_and_bounded),
        cmocka_unit_test(refusals_are_counted_by_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
