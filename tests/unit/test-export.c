/* Many pods' audits out of one log: put together again in any order, and what is missing is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/export.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PODS  3
#define LINES 4 /* of each */

static const unsigned char key[AUDIT_KEY] = "the key of the tests' own audits";
static const char *const chain[PODS] = {"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"};

typedef struct Log {
    char text[PODS][8192];
    Slice line[PODS][LINES];
    AuditSeal seal[PODS];
} Log;

typedef struct Said {
    unsigned problems;
    char last[1024], file[256];
} Said;

static void take(void *context, const AuditFinding *finding)
{
    Said *said = context;
    if (finding->kind != AUDIT_PROBLEM)
        return;
    said->problems++;
    snprintf(said->last, sizeof(said->last), "%s", finding->sentence);
    snprintf(said->file, sizeof(said->file), "%s", finding->file);
}

static void write_pod(Log *log, int i)
{
    unsigned char of_chain[AUDIT_KEY];
    char pod[16];
    int fd = memfd_create("pod", MFD_CLOEXEC);
    Audit *audit = NULL;
    Fault fault = {""};
    snprintf(pod, sizeof(pod), "pod-%d", i);
    audit_chain_key(key, chain[i], of_chain);
    assert_int_equal(
        audit_open_pod(dup(fd), &(AuditPod){"0011223344556677", chain[i], pod}, of_chain, &audit, &fault), 0);
    assert_true(audit_add(audit, &(AuditEvent){.event = "run.open", .run = pod}) > 0);
    assert_true(audit_add(audit, &(AuditEvent){.event = "request", .run = pod, .status = 200}) > 0);
    assert_int_equal(audit_seal(audit, pod, "one", &log->seal[i]), 0);
    audit_free(audit);
    ssize_t n = pread(fd, log->text[i], sizeof(log->text[i]), 0);
    assert_true(n > 0);
    Slice rest = {log->text[i], (size_t)n};
    for (int k = 0; k < LINES; k++)
        assert_true(slice_cut(rest, '\n', &log->line[i][k], &rest));
    close(fd);
}

static const Log *a_log(void)
{
    static Log log;
    for (int i = 0; i < PODS; i++)
        write_pod(&log, i);
    return &log;
}

/* What is read: all lines but those of `without` (a pod, or -1) and but line `line` of pod `of`, the last
 * first. */
static AuditExported verify(const Log *log, int without, int of, int line, Said *said)
{
    AuditExported exported;
    int fd = memfd_create("export", MFD_CLOEXEC);
    for (int k = LINES; k-- > 0;)
        for (int i = 0; i < PODS; i++)
            if (i != without && !(i == of && k == line))
                dprintf(fd, "[pod/x/agent] %.*s\nanother line\n", (int)log->line[i][k].len,
                        log->line[i][k].ptr);
    *said = (Said){0};
    AuditExport *lines = audit_export_new(
        &(AuditExportSpec){.key = key, .since = 1, .until = INT64_MAX, .say = take, .context = said});
    for (int i = 0; i < PODS; i++)
        audit_export_expect(lines, chain[i], &log->seal[i], "the run");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(audit_export_read(lines, fd), 0);
    assert_int_equal(audit_export_end(lines, &exported), 0);
    audit_export_free(lines);
    close(fd);
    return exported;
}

static void lines_of_many_pods_verify_in_any_order(void **state)
{
    (void)state;
    Said said;
    AuditExported exported = verify(a_log(), -1, -1, 0, &said);
    assert_int_equal(said.problems, 0);
    assert_int_equal(exported.pods, PODS);
    assert_int_equal(exported.all.records, PODS * LINES);
    assert_int_equal(exported.all.seals_known, PODS);
    assert_int_equal(exported.others, PODS * LINES);
    assert_int_equal(exported.missing, 0);
}

static void a_pod_without_a_line_is_missing(void **state)
{
    (void)state;
    Said said;
    AuditExported exported = verify(a_log(), 1, -1, 0, &said);
    assert_int_equal(said.problems, 1);
    assert_int_equal(exported.missing, 1);
    assert_non_null(strstr(said.last, "run the run is missing"));
    assert_non_null(strstr(said.file, chain[1]));
}

static void a_line_that_was_taken_out_is_found_wherever_it_stood(void **state)
{
    (void)state;
    for (int k = 0; k < LINES; k++) {
        Said said;
        AuditExported exported = verify(a_log(), -1, 2, k, &said);
        assert_true(said.problems > 0);
        assert_int_equal(exported.pods, PODS);
        assert_non_null(strstr(said.file, chain[2]));
    }
}

static void keys_of_chains_differ(void **state)
{
    (void)state;
    unsigned char one[AUDIT_KEY], other[AUDIT_KEY];
    audit_chain_key(key, chain[0], one);
    audit_chain_key(key, chain[1], other);
    assert_memory_not_equal(one, other, AUDIT_KEY);
    assert_memory_not_equal(one, key, AUDIT_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_many_pods_verify_in_any_order),
        cmocka_unit_test(a_pod_without_a_line_is_missing),
        cmocka_unit_test(a_line_that_was_taken_out_is_found_wherever_it_stood),
        cmocka_unit_test(keys_of_chains_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
