/* What each role needs works behind its walls, so that one that is too high is noticed; what it may not do is
 * in test-walls.c.
 */
#include "base/clock.h"
#include "base/io.h"
#include "sandbox/landlock.h"
#include "sandbox/probe.h"
#include "sandbox/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[64]; /* of this test, writable */
static uint16_t port_open, port_other;
static int listener[2], status_fd, pair[2];

/* --- attempts: 0 or -errno --- */

static int answer(long r)
{
    return r < 0 ? -errno : 0;
}

static int open_read(const void *path)
{
    return answer(open(path, O_RDONLY | O_CLOEXEC));
}

static int open_write(const void *path)
{
    return answer(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int fork_once(const void *context)
{
    (void)context;
    long pid = syscall(SYS_fork);
    if (pid == 0)
        _exit(0);
    return answer(pid);
}

static int connect_tcp(const void *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(*(const uint16_t *)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int socket_of(const void *family)
{
    return answer(socket(*(const int *)family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static void *nothing(void *context)
{
    return context;
}

static int start_thread(const void *context)
{
    pthread_t thread;
    (void)context;
    int r = -pthread_create(&thread, NULL, nothing, NULL);
    return r ? r : -pthread_join(thread, NULL);
}

static int resolve_name(const void *context)
{
    struct addrinfo *list = NULL;
    (void)context;
    int r = getaddrinfo("localhost", "443", NULL, &list);
    if (r == 0)
        freeaddrinfo(list);
    return r ? -EIO : 0;
}

/* What every role does all day. */
static int ordinary_work(const void *context)
{
    char byte = 'x';
    (void)context;
    if (send(pair[0], &byte, 1, MSG_NOSIGNAL) != 1 || recv(pair[1], &byte, 1, 0) != 1)
        return -errno;
    void *room = malloc(1u << 20);
    if (!room)
        return -ENOMEM;
    memset(room, 1, 1u << 20);
    free(room);
    close(pair[0]);
    return clock_mono() ? 0 : -EINVAL;
}

static int make_pair(const void *context)
{
    int fd[2];
    (void)context;
    return answer(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd));
}

static int make_nonblocking(const void *context)
{
    (void)context;
    return io_set_nonblocking(pair[0]);
}

static int accept_client(const void *context)
{
    (void)context;
    int fd = accept4(listener[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 && errno != EAGAIN ? -errno : 0;
}

static int write_lock_remove(const void *context)
{
    char from[96];
    (void)context;
    snprintf(from, sizeof(from), "%s/db", folder);
    int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, "1", 1, 0) != 1 || fsync(fd) < 0 || ftruncate(fd, 0) < 0 ||
        fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK}) < 0)
        return -errno;
    return answer(unlink(from));
}

/* --- the roles --- */

static SandboxSpec gate(void)
{
    return (SandboxSpec){.role = SANDBOX_GATE};
}

static SandboxSpec keeper(void)
{
    return (SandboxSpec){.role = SANDBOX_KEEPER, .connect_port = &port_open, .n_connect_port = 1};
}

static SandboxSpec clerk(bool network)
{
    static const char *const path[] = {folder};
    return (SandboxSpec){.role = SANDBOX_CLERK,
                         .network = network,
                         .connect_port = &port_open,
                         .n_connect_port = network,
                         .write_path = path,
                         .n_write_path = 1};
}

static void expect_killed(SandboxSpec spec, ProbeStep *attempt, const void *context, const char *what)
{
    ProbeResult result = probe_role(&spec, attempt, context);
    if (!seccomp_built)
        return;
    if (result.end != PROBE_KILLED)
        fail_msg("%s: ended with %d (%s), not killed", what, result.end, strerror(result.error));
}

static void expect_refused(SandboxSpec spec, ProbeStep *attempt, const void *context, int error,
                           const char *what)
{
    ProbeResult result = probe_role(&spec, attempt, context);
    if (result.end != PROBE_REFUSED || result.error != error)
        fail_msg("%s: ended with %d (%s), not refused", what, result.end, strerror(result.error));
}

static void expect_done(SandboxSpec spec, ProbeStep *attempt, const void *context, const char *what)
{
    ProbeResult result = probe_role(&spec, attempt, context);
    if (result.end != PROBE_DONE)
        fail_msg("%s: ended with %d (%s), wait status %x", what, result.end, strerror(result.error),
                 (unsigned)result.wait_status);
}

/* --- tests --- */

static void test_gate_accepts_and_pairs(void **state)
{
    (void)state;
    expect_killed(gate(), open_read, "/etc/passwd", "open");
    expect_killed(gate(), start_thread, NULL, "thread");
    expect_done(gate(), make_pair, NULL, "a stream to the keeper");
    expect_done(gate(), ordinary_work, NULL, "ordinary work");
    expect_done(gate(), accept_client, NULL, "accept");
}

static void test_keeper_reads_the_resolvers_files_and_dials_listed_ports(void **state)
{
    (void)state;
    expect_done(keeper(), make_nonblocking, NULL, "a socket that does not block");
    expect_done(keeper(), ordinary_work, NULL, "ordinary work");
    expect_done(keeper(), start_thread, NULL, "thread");
    expect_done(keeper(), resolve_name, NULL, "getaddrinfo");
    expect_done(keeper(), open_read, "/etc/hosts", "open /etc/hosts");
    expect_done(keeper(), connect_tcp, &port_open, "connect to a listed port");
    if (landlock_can(landlock_abi()) & LANDLOCK_CONNECT)
        expect_refused(keeper(), connect_tcp, &port_other, EACCES, "connect to another port");
    expect_refused(keeper(), open_read, "/usr/share/doc", EACCES, "read what no resolver needs");
}

static void test_clerk_writes_its_folder_and_nothing_else(void **state)
{
    (void)state;
    int family = AF_UNIX;
    SandboxSpec local = clerk(true);
    local.unix_socket = true;
    expect_done(clerk(false), ordinary_work, NULL, "ordinary work");
    expect_done(clerk(false), write_lock_remove, NULL, "write, lock, remove");
    expect_refused(clerk(false), open_write, "/etc/purser-test", EACCES, "write elsewhere");
    expect_refused(clerk(false), open_write, "/tmp/purser-test", EACCES, "write elsewhere");
    expect_refused(clerk(false), open_read, "/proc/self/environ", EACCES, "read elsewhere");
    expect_killed(clerk(false), connect_tcp, &port_open, "connect without a server");
    expect_killed(clerk(false), socket_of, &family, "unix socket without a server");
    expect_killed(clerk(false), start_thread, NULL, "thread");
    expect_done(clerk(true), connect_tcp, &port_open, "connect to its server");
    if (seccomp_built)
        expect_refused(clerk(true), socket_of, &family, EAFNOSUPPORT,
                       "unix socket beside a server elsewhere");
    expect_done(local, socket_of, &family, "unix socket to its server");
    expect_done(clerk(true), resolve_name, NULL, "getaddrinfo");
    if (landlock_can(landlock_abi()) & LANDLOCK_CONNECT)
        expect_refused(clerk(true), connect_tcp, &port_other, EACCES, "connect to another port");
}

static int status_of_a_role(const void *context)
{
    struct rlimit core;
    (void)context;
    if (prctl(PR_GET_DUMPABLE) != 0 || getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        return -EPERM;
    return 0;
}

static int capabilities(const void *context)
{
    char text[4096];
    int fd = *(const int *)context;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    const char *effective = strstr(text, "CapEff:\t0000000000000000"),
               *permitted = strstr(text, "CapPrm:\t0000000000000000");
    return effective && permitted && strstr(text, "NoNewPrivs:\t1") ? 0 : -EPERM;
}

/* Opened before the wall, read behind it. */
static int open_status_then_enter(const void *context)
{
    Fault fault;
    (void)context;
    SandboxSpec spec = keeper();
    status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    return sandbox_enter(&spec, &fault);
}

static void test_a_role_has_no_capability_and_leaves_no_core(void **state)
{
    (void)state;
    ProbeResult result = probe_run(open_status_then_enter, NULL, capabilities, &status_fd);
    assert_int_equal(result.end, PROBE_DONE);
    expect_done(gate(), status_of_a_role, NULL, "undumpable");
}

static void test_the_supervisor_is_hardened_and_still_starts_programs(void **state)
{
    (void)state;
    expect_done((SandboxSpec){.role = SANDBOX_SUPERVISOR}, status_of_a_role, NULL, "undumpable");
    expect_done((SandboxSpec){.role = SANDBOX_SUPERVISOR}, fork_once, NULL, "fork");
}

static void test_report_says_what_holds(void **state)
{
    (void)state;
    static SandboxReport report;
    assert_int_equal(sandbox_report(NULL, &report), 0);
    assert_in_range(report.n_finding, 10, SANDBOX_MAX_FINDINGS);
    for (size_t i = 0; i < report.n_finding; i++) {
        const SandboxFinding *finding = &report.finding[i];
        print_message("# %-20s %-8s %s\n", finding->name, sandbox_state_text(finding->state),
                      finding->sentence);
        assert_true(strlen(finding->sentence) > 10 &&
                    strlen(finding->sentence) < sizeof(finding->sentence) - 1);
        if (strcmp(finding->name, "seccomp") == 0)
            assert_int_equal(finding->state, seccomp_built ? SANDBOX_HOLDS : SANDBOX_MISSING);
        if (strcmp(finding->name, "core-dumps") == 0 || strcmp(finding->name, "memory-of-others") == 0)
            assert_int_equal(finding->state, SANDBOX_HOLDS);
    }
}

static uint16_t listen_somewhere(int *ret_fd)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t len = sizeof(here);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(*ret_fd, 16), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&here, &len), 0);
    return ntohs(here.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/purser-sandbox-XXXXXX");
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    port_open = listen_somewhere(&listener[0]);
    port_other = listen_somewhere(&listener[1]);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_accepts_and_pairs),
        cmocka_unit_test(test_keeper_reads_the_resolvers_files_and_dials_listed_ports),
        cmocka_unit_test(test_clerk_writes_its_folder_and_nothing_else),
        cmocka_unit_test(test_a_role_has_no_capability_and_leaves_no_core),
        cmocka_unit_test(test_the_supervisor_is_hardened_and_still_starts_programs),
        cmocka_unit_test(test_report_says_what_holds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
