/* The audit says where it was altered, and goes on after a crash without hiding it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LINES 6

static int make_file(void)
{
    int fd = memfd_create("audit", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    return fd;
}

static void add_events(int fd, int n)
{
    Audit *audit = NULL;
    Fault fault;
    assert_int_equal(audit_open(dup(fd), &audit, &fault), 0);
    for (int i = 0; i < n; i++) {
        AuditEvent event = {.event = "request",
                            .run = "r1",
                            .method = "GET",
                            .status = 200 + i,
                            .target = SLICE_LITERAL("/a/b")};
        audit_add(audit, &event);
    }
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
}

static void rewrite(int fd, Slice text)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(io_write_all(fd, text.ptr, text.len), 0);
}

static size_t read_text(int fd, char *out, size_t room)
{
    ssize_t n = pread(fd, out, room - 1, 0);
    assert_true(n >= 0);
    out[n] = '\0';
    return (size_t)n;
}

/* Where line `n` (from 1) begins; past the last: where the file ends. */
static size_t line_start(const char *text, int n)
{
    const char *at = text;
    for (; n > 1; n--)
        at = strchr(at, '\n') + 1;
    return (size_t)(at - text);
}

static int verify(int fd, uint64_t *ret_records, Fault *fault)
{
    fault->text[0] = '\0';
    return audit_verify(fd, ret_records, fault);
}

static void what_was_written_verifies_also_over_restarts(void **state)
{
    (void)state;
    int fd = make_file();
    uint64_t records = 7;
    Fault fault;
    char text[8192];
    assert_int_equal(verify(fd, &records, &fault), 0);
    assert_int_equal(records, 0);
    add_events(fd, 2);
    add_events(fd, 0);
    add_events(fd, 4);
    assert_int_equal(verify(fd, &records, &fault), 0);
    assert_int_equal(records, LINES);
    read_text(fd, text, sizeof(text));
    assert_int_equal(strncmp(text + line_start(text, LINES), "{\"n\":6,", 7), 0);
    close(fd);
}

static void every_altered_byte_is_found_next_to_its_line(void **state)
{
    (void)state;
    int fd = make_file();
    char text[8192], before[32], behind[32];
    uint64_t records;
    Fault fault;
    add_events(fd, LINES);
    size_t len = read_text(fd, text, sizeof(text));
    for (size_t i = 0; i < line_start(text, LINES);
         i++) { /* the last line is bound by nothing but its seal */
        int line = 1;
        for (size_t k = 0; k < i; k++)
            line += text[k] == '\n';
        text[i] ^= 1;
        rewrite(fd, (Slice){text, len});
        int r = verify(fd, &records, &fault);
        text[i] ^= 1;
        snprintf(before, sizeof(before), "line %d", line);
        snprintf(behind, sizeof(behind), "line %d", line + 1);
        if (r != -EBADMSG || (!strstr(fault.text, before) && !strstr(fault.text, behind)))
            fail_msg("byte %zu of line %d: %d %s", i, line, r, fault.text);
    }
    close(fd);
}

static void lines_taken_out_swapped_or_doubled_are_found(void **state)
{
    (void)state;
    int fd = make_file();
    char text[8192], changed[16384];
    uint64_t records;
    Fault fault;
    add_events(fd, LINES);
    size_t len = read_text(fd, text, sizeof(text));
    for (int line = 1; line < LINES; line++) {
        size_t at = line_start(text, line), next = line_start(text, line + 1),
               after = line + 1 < LINES ? line_start(text, line + 2) : len;
        memcpy(changed, text, at); /* taken out */
        memcpy(changed + at, text + next, len - next);
        rewrite(fd, (Slice){changed, len - (next - at)});
        assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
        snprintf(changed, sizeof(changed), "line %d", line == 1 ? 1 : line - 1);
        assert_non_null(strstr(fault.text, changed));
        memcpy(changed, text, len); /* swapped with the next */
        memcpy(changed + at, text + next, after - next);
        memcpy(changed + at + (after - next), text + at, next - at);
        rewrite(fd, (Slice){changed, len});
        assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
        memcpy(changed, text, next); /* doubled */
        memcpy(changed + next, text + at, len - at);
        rewrite(fd, (Slice){changed, len + (next - at)});
        assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    }
    close(fd);
}

static void a_cut_off_line_is_found_wherever_it_is_cut(void **state)
{
    (void)state;
    int fd = make_file();
    char text[8192];
    uint64_t records;
    Fault fault;
    add_events(fd, LINES);
    size_t len = read_text(fd, text, sizeof(text)), last = line_start(text, LINES);
    for (size_t n = last + 1; n < len; n++) {
        rewrite(fd, (Slice){text, n});
        assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
        assert_non_null(strstr(fault.text, "last line (6)"));
    }
    close(fd);
}

static void after_a_crash_the_audit_goes_on_and_the_cut_line_stays_visible(void **state)
{
    (void)state;
    int fd = make_file();
    char text[16384];
    uint64_t records;
    Fault fault;
    add_events(fd, 3);
    size_t len = read_text(fd, text, sizeof(text));
    rewrite(fd, (Slice){text, len - 10});
    add_events(fd, 2);
    assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    assert_non_null(strstr(fault.text, "line 3 is not a whole record"));
    assert_non_null(strstr(fault.text, "sound"));
    len = read_text(fd, text, sizeof(text));
    assert_int_equal(strncmp(text + line_start(text, 4), "{\"n\":4,", 7), 0); /* no number comes twice */
    text[line_start(text, 3) + 20] ^= 1; /* what the crash left is bound too */
    rewrite(fd, (Slice){text, len});
    assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    assert_non_null(strstr(fault.text, "between line 3 and line 4"));
    close(fd);
}

static void what_strangers_say_is_one_line_and_bounded(void **state)
{
    (void)state;
    int fd = make_file();
    Audit *audit = NULL;
    Fault fault;
    uint64_t records;
    static char endless[40000], hostile[] = "\"}\n{\"n\":9,\"prev\":\"\\ \x1b[2J \xff\xfe";
    memset(endless, 1, sizeof(endless) - 1);
    assert_int_equal(audit_open(dup(fd), &audit, &fault), 0);
    audit_add(audit, &(AuditEvent){.event = "refused", .target = slice_of(endless)});
    audit_add(audit, &(AuditEvent){.event = "refused", .code = "too-much", .sentence = endless});
    audit_add(audit, &(AuditEvent){.event = hostile, .run = hostile, .target = slice_of(hostile)});
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
    assert_int_equal(verify(fd, &records, &fault), 0);
    assert_int_equal(records, 3); /* the second without its sentence, but with its code */
    static char text[65536];
    read_text(fd, text, sizeof(text));
    assert_non_null(strstr(text, "\"code\":\"too-much\""));
    close(fd);
}

static void what_could_not_be_written_is_said_and_later_counted(void **state)
{
    (void)state;
    Audit *audit = NULL;
    Fault fault;
    uint64_t records;
    char path[] = "/tmp/audit-XXXXXX";
    static char text[12u << 20], sentence[4000];
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN);
    memset(sentence, 'x', sizeof(sentence) - 1);
    assert_int_equal(audit_open(dup(fd), &audit, &fault), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 1500; i++) /* 6 MB, of which 4 may wait */
        audit_add(audit, &(AuditEvent){.event = "refused", .sentence = sentence});
    assert_int_equal(audit_flush(audit), -EFBIG);
    assert_int_equal(audit_flush(audit), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(audit_flush(audit), 0);
    audit_add(audit, &(AuditEvent){.event = "request"});
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
    assert_int_equal(verify(fd, &records, &fault), 0);
    read_text(fd, text, sizeof(text));
    const char *lost = strstr(text, "\"event\":\"audit.lost\",\"count\":");
    assert_non_null(lost);
    assert_int_equal(strtoull(lost + 29, NULL, 10) + records - 2, 1500);
    unlink(path);
    close(fd);
}

static void what_is_no_audit_is_refused(void **state)
{
    (void)state;
    static char endless[100000];
    int fd = make_file();
    uint64_t records = 7;
    Fault fault;
    memset(endless, 'x', sizeof(endless));
    rewrite(fd, (Slice){endless, sizeof(endless)});
    assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    rewrite(fd, SLICE_LITERAL("\n"));
    assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    rewrite(fd, SLICE_LITERAL("{}\n{}\n"));
    assert_int_equal(verify(fd, &records, &fault), -EBADMSG);
    assert_int_equal(records, 7);
    close(fd);
    Audit *audit = NULL;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(audit_open(pipes[1], &audit, &fault), -EBADF);
    assert_null(audit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_verifies_also_over_restarts),
        cmocka_unit_test(every_altered_byte_is_found_next_to_its_line),
        cmocka_unit_test(lines_taken_out_swapped_or_doubled_are_found),
        cmocka_unit_test(a_cut_off_line_is_found_wherever_it_is_cut),
        cmocka_unit_test(after_a_crash_the_audit_goes_on_and_the_cut_line_stays_visible),
        cmocka_unit_test(what_strangers_say_is_one_line_and_bounded),
        cmocka_unit_test(what_could_not_be_written_is_said_and_later_counted),
        cmocka_unit_test(what_is_no_audit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
