/* No copy is left behind, whoever made it: a process that handled a secret and sealed it is stopped, and its
 * memory and registers searched for any 16 bytes of it. Each guard left out makes the search find some, so
 * that it can fail. */
#include "base/mem.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define CANARY 64
#define PIECE  16

typedef struct Search {
    char canary[CANARY + 2];
    size_t searched, hits;
    char where[256]; /* the first */
} Search;

static void search(Search *self, const char *bytes, size_t len, const char *where)
{
    self->searched += len;
    for (size_t i = 0; i + PIECE <= CANARY; i++) {
        if (!memmem(bytes, len, self->canary + i, PIECE))
            continue;
        if (self->hits++ == 0)
            snprintf(self->where, sizeof(self->where), "%s", where);
    }
}

static void search_memory(Search *self, pid_t pid)
{
    char path[64], line[512], permissions[8];
    unsigned long from, to;
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        assert_int_equal(sscanf(line, "%lx-%lx %7s", &from, &to, permissions), 3);
        if (permissions[0] != 'r' || strstr(line, "[vvar") || strstr(line, "[vsyscall"))
            continue;
        char *bytes = mem_new(to - from, 1);
        ssize_t n = pread(fd, bytes, to - from, (off_t)from);
        if (strstr(line, "secretmem"))
            assert_true(n < 0); /* not even a debugger reads it */
        else
            assert_int_equal(n, to - from);
        search(self, bytes, n > 0 ? (size_t)n : 0, line);
        mem_free(bytes);
    }
    fclose(maps);
}

static void search_registers(Search *self, pid_t pid)
{
    static const long sets[] = {NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE};
    static char bytes[16384];
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct iovec into = {bytes, sizeof(bytes)};
        if (ptrace(PTRACE_GETREGSET, pid, (void *)(uintptr_t)sets[i], &into) == 0)
            search(self, bytes, into.iov_len, "registers");
    }
}

static pid_t start(const char *program, const char *how, const Search *self)
{
    int to[2], from[2];
    char ready[6] = "";
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl(program, program, how, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    assert_int_equal(write(to[1], self->canary, CANARY + 1), CANARY + 1);
    assert_int_equal(read(from[0], ready, sizeof(ready)), 6);
    close(to[1]);
    close(from[0]);
    return pid;
}

static Search look_into(const char *program, const char *how)
{
    Search self = {""};
    unsigned char random[CANARY];
    assert_int_equal(getrandom(random, sizeof(random), 0), CANARY);
    for (size_t i = 0; i < CANARY; i++)
        self.canary[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"[random[i] % 64];
    self.canary[CANARY] = '\n';
    pid_t pid = start(program, how, &self);
    int status;
    assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    search_memory(&self, pid);
    search_registers(&self, pid);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(self.searched > 1u << 20);
    return self;
}

static void test_nothing_of_the_secret_is_left(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        Search found = look_into(HOLDS_CANARY, "clean");
        if (found.hits)
            fail_msg("%zu pieces, the first in %s", found.hits, found.where);
    }
}

static void test_without_the_wiping_free_it_is_found(void **state)
{
    (void)state;
    assert_true(look_into(HOLDS_CANARY_PLAIN, "clean").hits > 0);
}

static void test_without_wiping_traces_it_is_found(void **state)
{
    (void)state;
    assert_true(look_into(HOLDS_CANARY, "no-wipe").hits > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_of_the_secret_is_left),
        cmocka_unit_test(test_without_the_wiping_free_it_is_found),
        cmocka_unit_test(test_without_wiping_traces_it_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
