/* Folders are removed and copied without following a link; one purser works with a state at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "supervisor/environment.h"
#include "supervisor/state.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char root[64];
static int root_fd;

static int set_up(void **state)
{
    (void)state;
    umask(022);
    strcpy(root, "/tmp/purser-test-XXXXXX");
    if (!mkdtemp(root) || chmod(root, 0755) < 0)
        return -1;
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(root_fd);
    return tree_remove(AT_FDCWD, root);
}

static void write_file(const char *name, const char *text)
{
    assert_int_equal(state_write(root_fd, name, slice_of(text), 0644), 0);
}

static void removing_a_folder_leaves_what_its_links_point_at(void **state)
{
    (void)state;
    write_file("precious", "stays");
    assert_int_equal(mkdirat(root_fd, "outside", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "doomed", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "doomed/inner", 0755), 0);
    assert_int_equal(symlinkat("../precious", root_fd, "doomed/link"), 0);
    assert_int_equal(symlinkat("../../outside", root_fd, "doomed/inner/folder"), 0);
    assert_int_equal(mkfifoat(root_fd, "doomed/fifo", 0600), 0);
    assert_int_equal(tree_remove(root_fd, "doomed"), 0);
    assert_int_equal(faccessat(root_fd, "precious", F_OK, 0), 0);
    assert_int_equal(faccessat(root_fd, "outside", F_OK, 0), 0);
    assert_int_equal(faccessat(root_fd, "doomed", F_OK, 0), -1);
}

/* As a script may leave it: closed against its owner, who is purser's user where a person started it, and
 * deeper than there are descriptors. */
static void a_folder_is_removed_however_deep_and_closed_it_is(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(root_fd, "doomed", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "doomed/.deep-0", 0755), 0);
    int at = openat(root_fd, "doomed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < 5000; i++) {
        int next = mkdirat(at, "d", 0755) < 0 ? -1 : openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(next >= 0 && file >= 0);
        close(file);
        if (i % 100 == 0)
            assert_int_equal(fchmod(at, i % 200 ? 0 : 0555), 0);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(tree_remove(root_fd, "doomed"), 0);
    assert_int_equal(faccessat(root_fd, "doomed", F_OK, 0), -1);
}

static void removing_a_link_removes_the_link(void **state)
{
    (void)state;
    write_file("precious", "stays");
    assert_int_equal(symlinkat("precious", root_fd, "link"), 0);
    assert_int_equal(tree_remove(root_fd, "link"), 0);
    assert_int_equal(faccessat(root_fd, "precious", F_OK, 0), 0);
    assert_int_equal(tree_remove(root_fd, "was-never-there"), 0);
}

static void a_copy_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(root_fd, "from", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "from/a", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "to", 0755), 0);
    assert_int_equal(mkdirat(root_fd, "to2", 0755), 0);
    write_file("data", "0123456789");
    assert_int_equal(renameat(root_fd, "data", root_fd, "from/a/data"), 0);
    CLEANUP_FD int from = openat(root_fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int to = openat(root_fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int to2 = openat(root_fd, "to2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_BUF Buf text = BUF_INIT(64);
    assert_int_equal(tree_copy(from, to, &(TreeBounds){10, 2, 1}), 0);
    assert_int_equal(io_read_file(to, "a/data", &text), 0);
    assert_string_equal(buf_text(&text), "0123456789");
    assert_int_equal(tree_copy(from, to2, &(TreeBounds){9, 2, 1}), -EFBIG);
    assert_int_equal(tree_remove(root_fd, "to2/a"), 0);
    assert_int_equal(tree_copy(from, to2, &(TreeBounds){10, 2, 0}), -ELOOP);
}

static void one_purser_works_with_a_state_at_a_time(void **state)
{
    (void)state;
    CLEANUP_MEM char *path = mem_printf("%s/state", root);
    State mine = STATE_NONE;
    Fault fault = {0};
    assert_int_equal(state_open(path, &mine, &fault), 0);
    assert_int_equal(state_lock(&mine, &fault), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char holder[24];
        State other = STATE_NONE;
        snprintf(holder, sizeof(holder), "process %d", getppid());
        int r = state_open(path, &other, &fault);
        _exit(r == 0 && state_lock(&other, &fault) == -EBUSY && strstr(fault.text, holder) ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    state_close(&mine);
}

static void a_retriever_keeps_its_user_and_shares_it_with_nobody(void **state)
{
    (void)state;
    UserId a, b, again, prepare;
    assert_int_equal(user_of_retriever(root_fd, "a", false, &a, NULL), 0);
    assert_int_equal(user_of_retriever(root_fd, "b", false, &b, NULL), 0);
    assert_int_equal(user_of_retriever(root_fd, "a", true, &prepare, NULL), 0);
    assert_int_equal(user_of_retriever(root_fd, "a", false, &again, NULL), 0);
    assert_true(a.uid == again.uid);
    if (geteuid() == 0)
        assert_true(a.own && a.uid != b.uid && a.uid != prepare.uid && b.uid != prepare.uid);
    else
        assert_true(!a.own && a.uid == geteuid());
}

static void half_a_line_of_the_users_is_nobodys_number(void **state)
{
    (void)state;
    UserId a, b, c, again;
    write_file("users", "a 70000000\nb 7000");
    assert_int_equal(user_of_retriever(root_fd, "c", false, &c, NULL), 0);
    if (geteuid() != 0) { /* who is not root gives no user ids of their own */
        assert_true(!c.own);
        return;
    }
    assert_int_equal(user_of_retriever(root_fd, "b", false, &b, NULL), 0);
    assert_int_equal(user_of_retriever(root_fd, "a", false, &a, NULL), 0);
    assert_int_equal(user_of_retriever(root_fd, "b", false, &again, NULL), 0);
    assert_true(c.uid == a.uid + 2 && b.uid == a.uid + 4 && again.uid == b.uid);
}

static void an_environment_that_is_half_built_is_not_ready(void **state)
{
    (void)state;
    CLEANUP_MEM char *requirements = mem_printf("%s/requirements.txt", root);
    CLEANUP_MEM char *path = mem_printf("%s/state", root);
    char name[] = "github";
    const Retriever retriever = {.name = name, .requirements = requirements};
    const UserId user = {geteuid(), getegid(), false};
    Environment environment;
    State of;
    Fault fault;
    write_file("requirements.txt", "");
    assert_int_equal(state_open(path, &of, &fault), 0);
    assert_int_equal(environment_find(&of, &retriever, "", "/bin/sh", &environment, &fault), 0);
    assert_false(environment.ready);
    assert_int_equal(environment_begin(&of, &environment, &user, &fault), 0);
    assert_int_equal(environment_finish(&of, &environment, &fault), 0);
    assert_int_equal(environment_find(&of, &retriever, "", "/bin/sh", &environment, &fault), 0);
    assert_true(environment.ready);
    /* Somebody removes its folder, and the next preparation does not come to its end. */
    assert_int_equal(tree_remove(of.envs_fd, environment.name), 0);
    assert_int_equal(environment_find(&of, &retriever, "", "/bin/sh", &environment, &fault), 0);
    assert_false(environment.ready);
    assert_int_equal(environment_begin(&of, &environment, &user, &fault), 0);
    assert_int_equal(environment_find(&of, &retriever, "", "/bin/sh", &environment, &fault), 0);
    assert_false(environment.ready);
    state_close(&of);
}

static void a_run_has_folders_of_its_own_and_a_second_of_that_name_is_refused(void **state)
{
    (void)state;
    CLEANUP_MEM char *path = mem_printf("%s/state", root);
    State mine = STATE_NONE;
    UserId user;
    RunFolder folder = RUN_FOLDER_NONE, second = RUN_FOLDER_NONE;
    struct stat status;
    assert_int_equal(state_open(path, &mine, NULL), 0);
    assert_int_equal(user_of_retriever(mine.fd, "a", false, &user, NULL), 0);
    assert_int_equal(run_folder_open(&mine, "r1", &user, false, &folder, NULL), 0);
    assert_int_equal(fstat(folder.out_fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(status.st_uid, user.uid);
    assert_int_equal(run_folder_open(&mine, "r1", &user, false, &second, NULL), -EEXIST);
    run_folder_clean(&folder, true);
    assert_int_equal(faccessat(folder.fd, "out", F_OK, 0), 0);
    assert_int_equal(faccessat(folder.fd, "work", F_OK, 0), -1);
    run_folder_clean(&folder, false);
    assert_int_equal(faccessat(folder.fd, "out", F_OK, 0), -1);
    assert_int_equal(faccessat(folder.fd, "log", F_OK, 0), 0);
    run_folder_close(&folder);
    state_close(&mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(removing_a_folder_leaves_what_its_links_point_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_is_removed_however_deep_and_closed_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removing_a_link_removes_the_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_purser_works_with_a_state_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_retriever_keeps_its_user_and_shares_it_with_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(half_a_line_of_the_users_is_nobodys_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_environment_that_is_half_built_is_not_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_has_folders_of_its_own_and_a_second_of_that_name_is_refused,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
