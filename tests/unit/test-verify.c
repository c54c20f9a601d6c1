/* Verifying says where an audit was changed: every way of changing one, at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit-lines.h"

#include "base/io.h"

#define LINES 7 /* of the files here: a beginning and six events */

static Lines lines;

static void rewrite(int fd, const char *text, size_t len)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(io_write_all(fd, text, len), 0);
}

/* The lines of `lines` in this order; -1: `other` instead. */
static void rearrange(int fd, const int *order, size_t n, Slice other)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    for (size_t i = 0; i < n; i++) {
        Slice line = order[i] < 0 ? other : lines.line[order[i]];
        assert_int_equal(io_write_all(fd, line.ptr, line.len), 0);
        assert_int_equal(io_write_all(fd, "\n", 1), 0);
    }
}

static void expect_at(const Said *said, unsigned problem, const char *file, uint64_t line, const char *words)
{
    if (said->n_problem <= problem)
        fail_msg("there are %u problems", said->n_problem);
    if (strcmp(said->problem[problem].file, file) != 0 || said->problem[problem].line != line ||
        !strstr(said->problem[problem].text, words))
        fail_msg("%s, line %u: %s; expected %s, line %u: %s", said->problem[problem].file,
                 (unsigned)said->problem[problem].line, said->problem[problem].text, file, (unsigned)line,
                 words);
}

static AuditFile whole_file(void)
{
    AuditFile file = {.fd = lines_file()};
    add_events(&file, LINES - 1);
    lines_read(&lines, file.fd);
    assert_int_equal(lines.n, LINES);
    return file;
}

static void what_was_written_verifies_also_over_restarts(void **state)
{
    (void)state;
    Said said;
    AuditFile file = {.fd = lines_file()};
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 0);
    assert_int_equal(said.result.records, 0);
    add_events(&file, 2);
    add_events(&file, 0);
    add_events(&file, 4);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 0);
    assert_int_equal(said.result.records, LINES);
    assert_int_equal(said.result.last, LINES);
    close(file.fd);
}

static void every_altered_byte_is_found_at_its_line(void **state)
{
    (void)state;
    static char text[16384];
    AuditFile file = whole_file();
    memcpy(text, lines.text, lines.len);
    size_t len = lines.len, line = 1;
    for (size_t i = 0; i + 1 < len; i++) {
        Said said;
        text[i] ^= 1;
        rewrite(file.fd, text, len);
        unsigned problems = lines_problems(&file, 1, NULL, 0, &said);
        text[i] ^= 1;
        if (problems == 0 || problems > 2 || said.problem[0].line != line)
            fail_msg("byte %zu of line %zu: %u problems, line %u: %s", i, line, problems,
                     (unsigned)said.problem[0].line, said.problem[0].text);
        line += text[i] == '\n';
    }
    close(file.fd);
}

static void an_altered_line_is_one_finding(void **state)
{
    (void)state;
    static const char *const what[] = {"\"status\":20", "\"mac\":\"", "{\"n\":"};
    static char text[16384];
    AuditFile file = whole_file();
    memcpy(text, lines.text, lines.len);
    size_t len = lines.len;
    for (size_t i = 0; i < COUNT_OF(what); i++)
        for (int line = 1; line < LINES; line++) {
            Said said;
            char *at = text + (lines.line[line].ptr - lines.text);
            at = strstr(at, what[i]) + strlen(what[i]);
            char old = *at;
            *at = *at == '1' ? '2' : '1';
            rewrite(file.fd, text, len);
            *at = old;
            assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
            assert_int_equal(said.problem[0].line, line + 1);
        }
    close(file.fd);
}

static void lines_taken_out_are_counted_at_the_line_behind(void **state)
{
    (void)state;
    Said said;
    AuditFile file = whole_file();
    for (int from = 1; from < LINES - 1; from++)
        for (int to = from + 1; to < LINES; to++) {
            int order[LINES];
            size_t n = 0;
            char words[64];
            for (int i = 0; i < LINES; i++)
                if (i < from || i >= to)
                    order[n++] = i;
            rearrange(file.fd, order, n, (Slice){"", 0});
            assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
            if (to - from == 1)
                snprintf(words, sizeof(words), "record %d is missing before this line", from + 1);
            else
                snprintf(words, sizeof(words), "records %d to %d are missing", from + 1, to);
            expect_at(&said, 0, "0", (uint64_t)from + 1, words);
        }
    /* The first lines */
    for (int from = 1; from < LINES; from++) {
        int order[LINES];
        size_t n = 0;
        for (int i = from; i < LINES; i++)
            order[n++] = i;
        rearrange(file.fd, order, n, (Slice){"", 0});
        assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
        expect_at(&said, 0, "0", 1, "not a file's first record");
    }
    close(file.fd);
}

static void lines_put_in_or_doubled_are_found(void **state)
{
    (void)state;
    Said said;
    AuditFile file = whole_file(), elsewhere = {.fd = lines_file()};
    static char forged[1024];
    for (int at = 2; at < LINES; at++)
        for (int which = 0; which < LINES; which++) {
            int order[LINES + 1];
            for (int i = 0; i <= LINES; i++)
                order[i] = i < at ? i : i == at ? which : i - 1;
            rearrange(file.fd, order, LINES + 1, (Slice){"", 0});
            unsigned problems = lines_problems(&file, 1, NULL, 0, &said);
            if (which == at) { /* it stands where it should, and then once more */
                assert_int_equal(problems, 1);
                expect_at(&said, 0, "0", (uint64_t)at + 2, "put in, or moved");
            } else {
                assert_true(problems >= 1 && problems <= 2);
                assert_int_equal(said.problem[0].line, at + 1);
            }
        }
    /* One that was made up, with the number that belongs there */
    for (int at = 1; at <= LINES; at++) {
        int order[LINES + 1];
        for (int i = 0; i <= LINES; i++)
            order[i] = i < at ? i : i == at ? -1 : i - 1;
        int n =
            snprintf(forged, sizeof(forged), "{\"n\":%d,\"event\":\"request\",\"mac\":\"%064d\"}", at + 1, 0);
        rearrange(file.fd, order, LINES + 1, (Slice){forged, (size_t)n});
        assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
        expect_at(&said, 0, "0", (uint64_t)at + 1, "altered, or put in");
        rearrange(file.fd, order, LINES + 1, SLICE_LITERAL("no record at all"));
        assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
        expect_at(&said, 0, "0", (uint64_t)at + 1, "no record");
    }
    close(file.fd);
    close(elsewhere.fd);
}

static void lines_that_were_moved_are_found(void **state)
{
    (void)state;
    Said said;
    AuditFile file = whole_file();
    for (int a = 1; a < LINES; a++)
        for (int b = a + 1; b < LINES; b++) { /* these two change places */
            int order[LINES];
            for (int i = 0; i < LINES; i++)
                order[i] = i == a ? b : i == b ? a : i;
            rearrange(file.fd, order, LINES, (Slice){"", 0});
            assert_true(lines_problems(&file, 1, NULL, 0, &said) >= 1);
            assert_int_equal(said.problem[0].line, a + 1);
        }
    close(file.fd);
}

static void another_key_makes_no_line_that_fits(void **state)
{
    (void)state;
    Said said = {0};
    AuditFile file = whole_file();
    static const unsigned char other[AUDIT_KEY] = "somebody who has not got the key";
    AuditVerifySpec spec = {.key = other, .say = lines_say, .context = &said};
    AuditVerify *verify = audit_verify_new(&spec);
    assert_int_equal(audit_verify_file(verify, file.fd, "0"), 0);
    assert_int_equal(audit_verify_end(verify).problems, LINES);
    audit_verify_free(verify);
    close(file.fd);
}

static void a_line_is_cut_off_wherever_it_is_cut(void **state)
{
    (void)state;
    Said said;
    AuditFile file = whole_file();
    static char text[16384];
    memcpy(text, lines.text, lines.len);
    size_t last = (size_t)(lines.line[LINES - 1].ptr - lines.text), len = lines.len;
    for (size_t n = last + 1; n < len; n += 61) {
        rewrite(file.fd, text, n);
        assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
        expect_at(&said, 0, "0", LINES, "cut off");
    }
    close(file.fd);
}

static void after_a_crash_the_audit_goes_on_and_the_cut_line_is_bound(void **state)
{
    (void)state;
    Said said;
    AuditFile file = whole_file();
    rewrite(file.fd, lines.text, lines.len - 10);
    add_events(&file, 2);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 0);
    assert_int_equal(said.n_note, 1);
    assert_int_equal(said.note[0].line, LINES);
    assert_non_null(strstr(said.note[0].text, "purser found it so"));
    lines_read(&lines, file.fd);
    assert_int_equal(lines.n, LINES + 3);
    AuditLine line;
    assert_int_equal(audit_line_parse(lines.line[LINES], &line), 0); /* its number goes on: no hole */
    assert_true(line.n == LINES && slice_is(line.event, "audit.resume"));
    lines.text[lines.line[LINES - 1].ptr - lines.text + 20] ^= 1; /* what the crash left is bound too */
    rewrite(file.fd, lines.text, lines.len);
    assert_true(lines_problems(&file, 1, NULL, 0, &said) >= 1);
    expect_at(&said, 0, "0", LINES, "no record");
    close(file.fd);
}

/* Two files, and the heads that the sink has of both. */
static void make_two(AuditFile file[2], AuditSeal seal[2])
{
    file[0] = (AuditFile){.fd = lines_file()};
    file[1] = (AuditFile){.fd = lines_file(), .before = "0", .before_fd = file[0].fd};
    for (int i = 0; i < 2; i++) {
        add_events(&file[i], 3);
        Audit *audit = lines_open(&file[i]);
        audit_add(audit, &(AuditEvent){.event = "run.open", .run = "sealed"});
        assert_int_equal(audit_seal(audit, "sealed", "x", &seal[i]), 0);
        audit_free(audit);
        add_events(&file[i], 2);
    }
}

static void files_are_bound_to_each_other(void **state)
{
    (void)state;
    Said said;
    AuditFile file[2];
    AuditSeal seal[2];
    make_two(file, seal);
    assert_int_equal(lines_problems(file, 2, seal, 2, &said), 0);
    assert_int_equal(said.result.seals, 2);
    assert_int_equal(said.result.seals_known, 2);
    /* the other way round */
    AuditFile turned[2] = {file[1], file[0]};
    assert_true(lines_problems(turned, 2, NULL, 0, &said) >= 1);
    /* without the first */
    assert_true(lines_problems(&file[1], 1, NULL, 0, &said) >= 1);
    expect_at(&said, 0, "0", 0, "files before this one are missing, up to 0 and record 8");
    /* the last lines of the first cut off */
    lines_read(&lines, file[0].fd);
    rewrite(file[0].fd, lines.text, (size_t)(lines.line[6].ptr - lines.text));
    assert_int_equal(lines_problems(file, 2, NULL, 0, &said), 1);
    expect_at(&said, 0, "1", 1, "records 7 to 8 are missing");
    close(file[0].fd);
    close(file[1].fd);
}

static void what_a_crash_left_at_a_files_end_is_bound_by_the_next_file(void **state)
{
    (void)state;
    Said said;
    AuditFile file[2] = {whole_file(), {.fd = lines_file(), .before = "0"}};
    file[1].before_fd = file[0].fd;
    for (size_t n = 1; n < 300; n += 23) { /* 1: its newline alone */
        rewrite(file[0].fd, lines.text, lines.len - n);
        rewrite(file[1].fd, "", 0);
        assert_int_equal(lines_problems(file, 1, NULL, 0, &said), 1);
        expect_at(&said, 0, "0", said.problem[0].line, "cut off");
        add_events(&file[1], 2);
        assert_int_equal(lines_problems(file, 2, NULL, 0, &said), 0);
        assert_int_equal(said.n_note, 1);
        assert_true(strcmp(said.note[0].file, "0") == 0 && strstr(said.note[0].text, "purser found it so"));
        assert_int_equal(io_write_all(file[0].fd, "x", 1), 0);
        assert_int_equal(lines_problems(file, 2, NULL, 0, &said), 2);
        expect_at(&said, 0, "0", said.problem[0].line, "cut off");
        expect_at(&said, 1, "1", 1, "altered");
    }
    close(file[0].fd);
    close(file[1].fd);
}

static void old_files_may_be_gone_as_far_as_they_are_not_kept(void **state)
{
    (void)state;
    AuditFile file[2];
    AuditSeal seal[2];
    Said said = {0};
    make_two(file, seal);
    AuditVerifySpec spec = {.key = lines_key, .retain = CLOCK_SECOND, .say = lines_say, .context = &said};
    for (int late = 0; late < 2; late++) {
        said = (Said){0};
        clock_set_for_test(late ? clock_wall() + 2 * CLOCK_SECOND : -1, -1);
        AuditVerify *verify = audit_verify_new(&spec);
        audit_verify_expect(verify, &seal[0], "sealed");
        audit_verify_expect(verify, &seal[1], "sealed");
        assert_int_equal(audit_verify_file(verify, file[1].fd, "1"), 0);
        assert_int_equal(audit_verify_end(verify).problems, late ? 0 : 1);
        assert_int_equal(said.n_note, late ? 1 : 0);
        audit_verify_free(verify);
    }
    clock_set_for_test(-1, -1);
    close(file[0].fd);
    close(file[1].fd);
}

static void what_is_cut_off_behind_a_head_of_the_sink_is_found(void **state)
{
    (void)state;
    Said said;
    AuditFile file[2];
    AuditSeal seal[2];
    make_two(file, seal);
    lines_read(&lines, file[1].fd);
    for (size_t keep = 0; keep <= lines.n; keep++) { /* whole lines, so that the file alone tells nothing */
        size_t len = keep == lines.n ? lines.len : (size_t)(lines.line[keep].ptr - lines.text);
        AuditFile cut[2] = {file[0], {.fd = lines_file()}};
        rewrite(cut[1].fd, lines.text, len);
        assert_int_equal(lines_problems(cut, 2, NULL, 0, &said), 0);
        unsigned problems = lines_problems(cut, 2, seal, 2, &said);
        if (keep >= 6) { /* begin, three events, run.open, seal */
            assert_int_equal(problems, 0);
        } else {
            assert_int_equal(problems, 1);
            expect_at(&said, 0, "", 0, "was cut off");
        }
        close(cut[1].fd);
    }
    /* Gone, and written anew by somebody who has the key: only the sink knows. */
    AuditFile anew[2] = {file[0], {.fd = lines_file(), .before = "0", .before_fd = file[0].fd}};
    AuditSeal other;
    add_events(&anew[1], 4);
    Audit *audit = lines_open(&anew[1]);
    assert_int_equal(audit_seal(audit, "sealed", "x", &other), 0);
    audit_free(audit);
    assert_int_equal(other.number, seal[1].number);
    assert_int_equal(lines_problems(anew, 2, NULL, 0, &said), 0);
    assert_int_equal(lines_problems(anew, 2, seal, 2, &said), 1);
    expect_at(&said, 0, "1", 6, "not what the sink has");
    close(anew[1].fd);
    close(file[0].fd);
    close(file[1].fd);
}

static void runs_without_a_seal_are_named(void **state)
{
    (void)state;
    Said said;
    AuditFile file = {.fd = lines_file()};
    AuditSeal seal;
    Audit *audit = lines_open(&file);
    for (const char *const *run = (const char *const[]){"one", "two", "three", NULL}; *run; run++)
        audit_add(audit, &(AuditEvent){.event = "run.open", .run = *run});
    assert_int_equal(audit_seal(audit, "two", "x", &seal), 0);
    audit_add(audit, &(AuditEvent){.event = "keeper.start"});
    audit_add(audit, &(AuditEvent){.event = "run.open", .run = "four"});
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 0);
    assert_int_equal(said.n_note, 3);
    assert_true(strstr(said.note[0].text, "run one") && strstr(said.note[0].text, "its keeper ended"));
    assert_true(strstr(said.note[1].text, "run three") && said.note[1].line == 4);
    assert_true(strstr(said.note[2].text, "run four") && strstr(said.note[2].text, "under way"));
    assert_int_equal(said.result.seals, 1);
    close(file.fd);
}

static void rubbish_is_said_and_read_to_its_end(void **state)
{
    (void)state;
    static char endless[600000];
    Said said;
    AuditFile file = whole_file();
    memset(endless, 'x', sizeof(endless));
    rewrite(file.fd, endless, sizeof(endless));
    assert_true(lines_problems(&file, 1, NULL, 0, &said) >= 1);
    rewrite(file.fd, "\n", 1);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
    rewrite(file.fd, "{}\n{}\n", 6);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, &said), 1);
    assert_int_equal(said.result.records, 0);
    close(file.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_verifies_also_over_restarts),
        cmocka_unit_test(every_altered_byte_is_found_at_its_line),
        cmocka_unit_test(an_altered_line_is_one_finding),
        cmocka_unit_test(lines_taken_out_are_counted_at_the_line_behind),
        cmocka_unit_test(lines_put_in_or_doubled_are_found),
        cmocka_unit_test(lines_that_were_moved_are_found),
        cmocka_unit_test(another_key_makes_no_line_that_fits),
        cmocka_unit_test(a_line_is_cut_off_wherever_it_is_cut),
        cmocka_unit_test(after_a_crash_the_audit_goes_on_and_the_cut_line_is_bound),
        cmocka_unit_test(files_are_bound_to_each_other),
        cmocka_unit_test(what_a_crash_left_at_a_files_end_is_bound_by_the_next_file),
        cmocka_unit_test(old_files_may_be_gone_as_far_as_they_are_not_kept),
        cmocka_unit_test(what_is_cut_off_behind_a_head_of_the_sink_is_found),
        cmocka_unit_test(runs_without_a_seal_are_named),
        cmocka_unit_test(rubbish_is_said_and_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
