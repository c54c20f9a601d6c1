/* The audit's writing: one bound line an event, over files and restarts, and what happens when it cannot be
 * written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit-lines.h"

#include "base/io.h"

#include <signal.h>
#include <sys/resource.h>

static void lines_are_flat_json_bound_to_each_other(void **state)
{
    (void)state;
    static Lines lines;
    AuditFile file = {.fd = lines_file()};
    AuditRecord record, before = {.number = 0};
    add_events(&file, 3);
    lines_read(&lines, file.fd);
    assert_int_equal(lines.n, 4);
    for (size_t i = 0; i < lines.n; i++) {
        AuditLine line;
        AuditMac mac;
        assert_int_equal(audit_record_parse(lines.line[i], &record), 0);
        assert_int_equal(audit_line_parse(lines.line[i], &line), 0);
        assert_int_equal(record.number, i + 1);
        audit_mac(lines_key, &before.mac, record.body, &mac);
        assert_true(audit_mac_equal(&mac, &record.mac));
        before = record;
        if (i == 0) {
            assert_true(slice_is(line.event, "audit.begin"));
            assert_int_equal(line.installation.len, AUDIT_INSTALLATION - 1);
            continue;
        }
        assert_true(slice_is(line.event, "request") && slice_is(line.rule, "read:12"));
        assert_true(slice_is(line.decision, "allowed") && slice_is(line.ms, "12.3") && line.whole);
        assert_int_equal(line.status, 199 + i);
        assert_int_equal(line.received, 2048);
    }
    close(file.fd);
}

static void what_strangers_say_is_one_line_and_bounded(void **state)
{
    (void)state;
    static Lines lines;
    AuditFile file = {.fd = lines_file()};
    static char endless[40000], hostile[] = "\"}\n{\"n\":9,\"mac\":\"\\ \x1b[2J \xff\xfe";
    memset(endless, 1, sizeof(endless) - 1);
    Audit *audit = lines_open(&file);
    audit_add(audit, &(AuditEvent){.event = "refused", .target = slice_of(endless)});
    audit_add(audit, &(AuditEvent){.event = "refused", .code = "too-much", .sentence = endless});
    audit_add(audit, &(AuditEvent){.event = hostile, .run = hostile, .target = slice_of(hostile)});
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
    lines_read(&lines, file.fd);
    assert_int_equal(lines.n, 4);
    assert_non_null(memmem(lines.line[2].ptr, lines.line[2].len, "\"code\":\"too-much\"", 17));
    for (size_t i = 0; i < lines.n; i++)
        for (size_t k = 0; k < lines.line[i].len; k++)
            assert_true(lines.line[i].ptr[k] >= ' ' || lines.line[i].ptr[k] < 0);
    AuditLine line;
    char text[256];
    assert_int_equal(audit_line_parse(lines.line[3], &line), 0);
    audit_line_text(line.run, text, sizeof(text));
    assert_string_equal(text, "\"}\\u000a{\"n\":9,\"mac\":\"\\ \\u001b[2J \xef\xbf\xbd\xef\xbf\xbd");
    close(file.fd);
}

/* A file on a disk that takes no more than this, for a while. */
static void let_write(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_could_not_be_written_is_said_and_later_counted(void **state)
{
    (void)state;
    static Lines lines;
    static char sentence[4000];
    char path[] = "/tmp/audit-XXXXXX";
    AuditFile file = {.fd = mkostemp(path, O_APPEND | O_CLOEXEC)};
    AuditSeal seal;
    signal(SIGXFSZ, SIG_IGN);
    memset(sentence, 'x', sizeof(sentence) - 1);
    Audit *audit = lines_open(&file);
    assert_int_equal(audit_flush(audit), 0);
    let_write(10000);
    for (int i = 0; i < 1500; i++) /* 6 MB, of which 4 may wait */
        audit_add(audit, &(AuditEvent){.event = "refused", .sentence = sentence});
    assert_int_equal(audit_flush(audit), -EFBIG);
    assert_int_not_equal(audit_record(audit, &(AuditEvent){.event = "reveal"}), 0); /* it must not happen */
    assert_int_not_equal(audit_seal(audit, "r", "x", &seal), 0);
    let_write(RLIM_INFINITY);
    assert_int_equal(audit_flush(audit), 0);
    assert_int_equal(audit_record(audit, &(AuditEvent){.event = "reveal"}), 0);
    audit_free(audit);
    lines_read(&lines, file.fd);
    AuditLine line = {0};
    uint64_t lost = 0, others = 0;
    for (size_t i = 0; i < lines.n; i++) {
        assert_int_equal(audit_line_parse(lines.line[i], &line), 0);
        lost += slice_is(line.event, "audit.lost") ? line.count : 0;
        others +=
            slice_is(line.event, "refused") || slice_is(line.event, "seal") || slice_is(line.event, "reveal");
    }
    assert_true(lost > 0);
    assert_int_equal(lost + others, 1500 + 1 + 1 + 1);
    assert_int_equal(lines_problems(&file, 1, NULL, 0, NULL), 0);
    unlink(path);
    close(file.fd);
}

static void a_seal_is_the_head_of_what_was_written(void **state)
{
    (void)state;
    static Lines lines;
    AuditFile file = {.fd = lines_file()};
    AuditSeal seal;
    AuditRecord record;
    Audit *audit = lines_open(&file);
    audit_add(audit, &(AuditEvent){.event = "run.open", .run = "r1"});
    assert_int_equal(audit_seal(audit, "r1", "x", &seal), 0);
    audit_free(audit);
    lines_read(&lines, file.fd);
    assert_int_equal(audit_record_parse(lines.line[lines.n - 1], &record), 0);
    assert_int_equal(record.number, seal.number);
    assert_true(audit_mac_equal(&record.mac, &seal.mac));
    close(file.fd);
}

static void a_file_goes_on_in_another_once_all_of_it_is_written(void **state)
{
    (void)state;
    static Lines lines;
    AuditFile file[2] = {{.fd = lines_file()}, {.fd = lines_file(), .before = "first"}};
    Audit *audit = lines_open(&file[0]);
    audit_add(audit, &(AuditEvent){.event = "request"});
    audit_turn(audit, dup(file[1].fd), "first");
    audit_add(audit, &(AuditEvent){.event = "request"});
    assert_int_equal(audit_flush(audit), 0);
    audit_add(audit, &(AuditEvent){.event = "request"});
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
    lines_read(&lines, file[0].fd);
    assert_int_equal(lines.n, 3);
    lines_read(&lines, file[1].fd);
    assert_int_equal(lines.n, 2);
    AuditLine line;
    assert_int_equal(audit_line_parse(lines.line[0], &line), 0);
    assert_true(slice_is(line.event, "audit.begin") && slice_is(line.before, "first") && line.n == 4);
    assert_int_equal(lines_problems(file, 2, NULL, 0, NULL), 0);
    close(file[0].fd);
    close(file[1].fd);
}

static void what_is_no_audit_is_not_continued(void **state)
{
    (void)state;
    static char endless[100000];
    Fault fault;
    Audit *audit = NULL;
    const Slice bad[] = {{endless, sizeof(endless)},
                         SLICE_LITERAL("\n"),
                         SLICE_LITERAL("{}\n{}\n"),
                         SLICE_LITERAL("{\"n\":1,\"event\":\"x\",\"prev\":\"00\"}\n")};
    memset(endless, 'x', sizeof(endless));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int fd = lines_file();
        assert_int_equal(io_write_all(fd, bad[i].ptr, bad[i].len), 0);
        assert_int_equal(audit_open(dup(fd), fd, "", lines_key, &audit, &fault), -EBADMSG);
        assert_non_null(strstr(fault.text, "purser audit verify"));
        close(fd);
    }
    assert_int_equal(audit_open(lines_file(), 12345, "", lines_key, &audit, &fault), -EBADF);
    assert_null(audit);
}

static void a_key_is_32_bytes_that_nobody_else_reads(void **state)
{
    (void)state;
    unsigned char key[AUDIT_KEY];
    Fault fault;
    int fd = lines_file();
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(io_write_all(fd, lines_key, AUDIT_KEY - 1), 0);
    assert_int_equal(audit_key_read(fd, key, &fault), -EINVAL);
    assert_int_equal(io_write_all(fd, lines_key, 1), 0);
    assert_int_equal(audit_key_read(fd, key, &fault), 0);
    assert_int_equal(io_write_all(fd, lines_key, 1), 0);
    assert_int_equal(audit_key_read(fd, key, &fault), -EINVAL);
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_int_equal(audit_key_read(fd, key, &fault), -EACCES);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_flat_json_bound_to_each_other),
        cmocka_unit_test(what_strangers_say_is_one_line_and_bounded),
        cmocka_unit_test(what_could_not_be_written_is_said_and_later_counted),
        cmocka_unit_test(a_seal_is_the_head_of_what_was_written),
        cmocka_unit_test(a_file_goes_on_in_another_once_all_of_it_is_written),
        cmocka_unit_test(what_is_no_audit_is_not_continued),
        cmocka_unit_test(a_key_is_32_bytes_that_nobody_else_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
