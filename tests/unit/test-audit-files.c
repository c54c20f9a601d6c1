/* The audit is put aside whole when it is old, and only whole files are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "purser/audit-files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define DAY (INT64_C(86400) * CLOCK_SECOND)

static char root[64];
static State state_folder;

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/purser-test-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    state_folder = STATE_NONE;
    state_folder.path = mem_strdup(root);
    state_folder.fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return mkdirat(state_folder.fd, "audit", 0700);
}

static int tear_down(void **state)
{
    (void)state;
    clock_set_for_test(-1, -1);
    int r = tree_remove(AT_FDCWD, root);
    state_close(&state_folder);
    return r;
}

static void record_at(int64_t wall)
{
    char line[128], time[CLOCK_TEXT];
    int fd = -1;
    clock_set_for_test(wall, 1);
    assert_int_equal(audit_files_open(&state_folder, 0, &fd, NULL), 0);
    int n =
        snprintf(line, sizeof(line), "{\"n\":1,\"time\":\"%s\",\"event\":\"x\"}\n", clock_format(time, wall));
    assert_int_equal(io_write_all(fd, line, (size_t)n), 0);
    close(fd);
}

static void count(const char *path, void *context)
{
    assert_non_null(strstr(path, "/audit/audit"));
    ++*(unsigned *)context;
}

static unsigned files(void)
{
    unsigned n = 0;
    audit_files_each(&state_folder, count, &n);
    return n;
}

static void a_file_is_put_aside_once_its_first_record_is_old(void **state)
{
    (void)state;
    int64_t start = INT64_C(1700000000) * CLOCK_SECOND;
    record_at(start);
    record_at(start + 29 * DAY);
    assert_int_equal(files(), 1);
    record_at(start + 31 * DAY);
    assert_int_equal(files(), 2);
    assert_int_equal(faccessat(state_folder.fd, "audit/audit-2023-11-14T22:13:20Z.ndjson", F_OK, 0), 0);
}

static void a_shorter_retention_means_shorter_files(void **state)
{
    (void)state;
    int64_t start = INT64_C(1700000000) * CLOCK_SECOND;
    int fd = -1;
    record_at(start);
    clock_set_for_test(start + 2 * DAY, 1);
    assert_int_equal(audit_files_open(&state_folder, 4 * DAY, &fd, NULL), 0);
    close(fd);
    assert_int_equal(files(), 2);
}

static void only_files_put_aside_whose_last_record_is_old_are_removed(void **state)
{
    (void)state;
    int64_t now = clock_wall();
    record_at(now - 40 * DAY);
    record_at(now);
    assert_int_equal(files(), 2);
    assert_int_equal(audit_files_prune(&state_folder, 0, false), 0);       /* kept for ever */
    assert_int_equal(audit_files_prune(&state_folder, 1 * DAY, false), 0); /* written just now */
    clock_set_for_test(now + 3 * DAY, 1);
    assert_int_equal(audit_files_prune(&state_folder, 1 * DAY, true), 1);
    assert_int_equal(files(), 2);
    assert_int_equal(audit_files_prune(&state_folder, 1 * DAY, false), 1);
    assert_int_equal(files(), 1);
}

static void what_is_no_audit_is_left_where_it_is(void **state)
{
    (void)state;
    int fd = -1;
    clock_set_for_test(INT64_C(1800000000) * CLOCK_SECOND, 1);
    CLEANUP_FD int file = openat(state_folder.fd, "audit/audit.ndjson", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(io_write_all(file, "rubbish\n", 8), 0);
    assert_int_equal(audit_files_open(&state_folder, 0, &fd, NULL), 0);
    close(fd);
    assert_int_equal(files(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_put_aside_once_its_first_record_is_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shorter_retention_means_shorter_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_files_put_aside_whose_last_record_is_old_are_removed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_audit_is_left_where_it_is, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
