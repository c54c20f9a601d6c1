/* The audit is put aside whole when it is old, and only whole files are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/verify.h"
#include "base/io.h"
#include "base/mem.h"
#include "supervisor/audit-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* As a keeper does that is started then. */
static void record_at(int64_t wall)
{
    AuditFiles files;
    unsigned char key[AUDIT_KEY];
    Audit *audit = NULL;
    Fault fault = {""};
    clock_set_for_test(wall, 1);
    assert_int_equal(audit_files_open(&state_folder, 0, &files, NULL), 0);
    assert_int_equal(audit_key_read(files.key, key, NULL), 0);
    assert_int_equal(audit_open(fd_steal(&files.file), files.tail, files.before, key, &audit, &fault), 0);
    assert_int_equal(audit_record(audit, &(AuditEvent){.event = "x"}), 0);
    audit_free(audit);
    audit_files_close(&files);
}

static unsigned files(void)
{
    char **name;
    size_t n;
    audit_files_list(&state_folder, &name, &n);
    mem_free_strings(name, n);
    return (unsigned)n;
}

static void say(void *context, const AuditFinding *finding)
{
    (void)context;
    print_message("# %s %s\n", finding->file, finding->sentence);
}

/* All files in their order are one chain. */
static uint64_t records(void)
{
    unsigned char key[AUDIT_KEY];
    char **name;
    size_t n;
    assert_int_equal(audit_files_key(&state_folder, key, NULL), 0);
    AuditVerify *verify = audit_verify_new(&(AuditVerifySpec){.key = key, .say = say});
    audit_files_list(&state_folder, &name, &n);
    for (size_t i = 0; i < n; i++) {
        CLEANUP_MEM char *path = mem_printf("audit/%s", name[i]);
        CLEANUP_FD int fd = openat(state_folder.fd, path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(audit_verify_file(verify, fd, name[i]), 0);
    }
    AuditVerified result = audit_verify_end(verify);
    audit_verify_free(verify);
    mem_free_strings(name, n);
    assert_int_equal(result.problems, 0);
    return result.records;
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
    assert_int_equal(records(), 2 + 1 + 2);
}

static void while_purser_runs_a_file_is_put_aside_when_it_is_time(void **state)
{
    (void)state;
    int64_t start = INT64_C(1700000000) * CLOCK_SECOND;
    AuditFiles files_now;
    record_at(start);
    assert_false(audit_files_turn(&state_folder, 0, &files_now));
    clock_set_for_test(start + 31 * DAY, 1);
    assert_true(audit_files_turn(&state_folder, 0, &files_now));
    assert_string_equal(files_now.before, "audit-2023-11-14T22:13:20Z.ndjson");
    assert_true(files_now.file >= 0 && files() == 2);
    assert_false(audit_files_turn(&state_folder, 0, &files_now)); /* the new one is empty */
    audit_files_close(&files_now);
    record_at(start + 31 * DAY); /* a keeper that was not told, and one that begins again */
    assert_int_equal(records(), 4);
}

/* Where the next file cannot be made, runs' heads go on into the sink: what is written is the current file.
 */
static void a_file_whose_successor_cannot_be_made_stays_the_current_one(void **state)
{
    (void)state;
    int64_t start = INT64_C(1700000000) * CLOCK_SECOND;
    AuditFiles files_now;
    struct rlimit before, one_more;
    record_at(start);
    clock_set_for_test(start + 31 * DAY, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    CLEANUP_FD int next = dup(state_folder.fd);
    one_more = (struct rlimit){(rlim_t)next + 2, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one_more), 0);
    bool turned = audit_files_turn(&state_folder, 0, &files_now);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(turned);
    assert_int_equal(files(), 1);
    assert_int_equal(audit_files_sync(&state_folder), 0);
    assert_true(audit_files_turn(&state_folder, 0, &files_now));
    audit_files_close(&files_now);
}

static void a_key_is_made_once_and_never_beside_older_records(void **state)
{
    (void)state;
    unsigned char one[AUDIT_KEY], again[AUDIT_KEY];
    struct stat status;
    AuditFiles files_now;
    Fault fault = {""};
    assert_int_equal(audit_files_key(&state_folder, one, &fault), -ENOENT);
    record_at(clock_wall());
    assert_int_equal(audit_files_key(&state_folder, one, &fault), 0);
    assert_int_equal(fstatat(state_folder.fd, "audit.key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    record_at(clock_wall());
    assert_int_equal(audit_files_key(&state_folder, again, &fault), 0);
    assert_memory_equal(one, again, AUDIT_KEY);
    assert_int_equal(unlinkat(state_folder.fd, "audit.key", 0), 0);
    assert_int_equal(audit_files_open(&state_folder, 0, &files_now, &fault), -ENOENT);
    assert_non_null(strstr(fault.text, "put it back"));
}

static void half_a_first_line_is_no_record_and_is_begun_again(void **state)
{
    (void)state;
    record_at(clock_wall());
    CLEANUP_FD int fd = openat(state_folder.fd, "audit/audit.ndjson", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(io_write_all(fd, "{\"n\":1,\"ti", 11), 0);
    record_at(clock_wall());
    assert_int_equal(records(), 2);
}

static void a_shorter_retention_means_shorter_files(void **state)
{
    (void)state;
    int64_t start = INT64_C(1700000000) * CLOCK_SECOND;
    AuditFiles files_now;
    record_at(start);
    clock_set_for_test(start + 2 * DAY, 1);
    assert_int_equal(audit_files_open(&state_folder, 4 * DAY, &files_now, NULL), 0);
    audit_files_close(&files_now);
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
    AuditFiles files_now;
    record_at(clock_wall());
    assert_int_equal(unlinkat(state_folder.fd, "audit/audit.ndjson", 0), 0);
    clock_set_for_test(INT64_C(1800000000) * CLOCK_SECOND, 1);
    CLEANUP_FD int file = openat(state_folder.fd, "audit/audit.ndjson", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(io_write_all(file, "rubbish\n", 8), 0);
    assert_int_equal(audit_files_open(&state_folder, 0, &files_now, NULL), 0);
    audit_files_close(&files_now);
    assert_int_equal(files(), 1);
}

/* One whose supervisor was killed may still write; what it writes is in the chain before the next begins. */
static void the_keeper_before_has_ended_before_another_begins(void **state)
{
    (void)state;
    AuditFiles before, after;
    struct stat status;
    clock_set_for_test(-1, -1);
    assert_int_equal(audit_files_open(&state_folder, 0, &before, NULL), 0);
    pid_t keeper = fork();
    assert_true(keeper >= 0);
    if (keeper == 0) {
        usleep(300000);
        _exit(mkdirat(state_folder.fd, "wrote-its-last", 0700) < 0);
    }
    audit_files_close(&before); /* as the supervisor does: the lock is the keeper's */
    assert_int_equal(audit_files_open(&state_folder, 0, &after, NULL), 0);
    assert_int_equal(fstatat(state_folder.fd, "wrote-its-last", &status, 0), 0);
    audit_files_close(&after);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_put_aside_once_its_first_record_is_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_purser_runs_a_file_is_put_aside_when_it_is_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_whose_successor_cannot_be_made_stays_the_current_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_key_is_made_once_and_never_beside_older_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_first_line_is_no_record_and_is_begun_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shorter_retention_means_shorter_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_files_put_aside_whose_last_record_is_old_are_removed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_audit_is_left_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_keeper_before_has_ended_before_another_begins, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
