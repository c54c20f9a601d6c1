/* Each wall fires: a child in a role's sandbox tries what is forbidden and is killed or refused; and what the
 * role needs still works, so that a wall that is too high is noticed too.
 */
#include "base/io.h"
#include "sandbox/landlock.h"
#include "sandbox/probe.h"
#include "sandbox/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[64]; /* of this test, writable */
static uint16_t port_open, port_other;
static int listener[2], status_fd;

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

static int execute(const void *context)
{
    char *const none[] = {NULL};
    (void)context;
    return answer(execve("/bin/true", none, none));
}

static int fork_once(const void *context)
{
    (void)context;
    long pid = syscall(SYS_fork);
    if (pid == 0)
        _exit(0);
    return answer(pid);
}

static int trace(const void *context)
{
    (void)context;
    return answer(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_other_memory(const void *context)
{
    (void)context;
    return answer(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int become_root(const void *context)
{
    (void)context;
    return answer(syscall(SYS_setuid, 0));
}

static int mount_something(const void *context)
{
    (void)context;
    return answer(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
}

static int become_dumpable(const void *context)
{
    (void)context;
    return answer(prctl(PR_SET_DUMPABLE, 1));
}

static int raise_core_limit(const void *context)
{
    (void)context;
    return answer(setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1}));
}

static int signal_parent(const void *context)
{
    (void)context;
    return answer(kill(getppid(), 0));
}

static int map_code(const void *context)
{
    (void)context;
    void *room = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return room == MAP_FAILED ? -errno : 0;
}

static int connect_tcp(const void *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(*(const uint16_t *)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int connect_by_fast_open(const void *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(*(const uint16_t *)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
}

static int mptcp_socket(const void *context)
{
    (void)context;
    return answer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262));
}

static int socket_of(const void *family)
{
    return answer(socket(*(const int *)family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int listen_tcp(const void *context)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    (void)context;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
        return -errno;
    return answer(listen(fd, 1));
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
    int pair[2];
    char byte = 'x';
    (void)context;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
        send(pair[0], &byte, 1, MSG_NOSIGNAL) != 1 || recv(pair[1], &byte, 1, 0) != 1)
        return -errno;
    void *room = malloc(1u << 20);
    if (!room)
        return -ENOMEM;
    memset(room, 1, 1u << 20);
    free(room);
    close(pair[0]);
    close(pair[1]);
    return io_set_nonblocking(0);
}

static int accept_client(const void *context)
{
    (void)context;
    int fd = accept4(listener[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd < 0 && errno != EAGAIN ? -errno : 0;
}

static int write_rename_remove(const void *context)
{
    char from[96], to[96];
    (void)context;
    snprintf(from, sizeof(from), "%s/db", folder);
    snprintf(to, sizeof(to), "%s/db-journal", folder);
    int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, "1", 1, 0) != 1 || fsync(fd) < 0 || ftruncate(fd, 0) < 0 ||
        fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK}) < 0)
        return -errno;
    return answer(rename(from, to) < 0 ? -1 : unlink(to));
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

static void test_no_role_gets_out(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        ProbeStep *attempt;
    } forbidden[] = {{"execve", execute},
                     {"fork", fork_once},
                     {"ptrace", trace},
                     {"process_vm_readv", read_other_memory},
                     {"setuid", become_root},
                     {"mount", mount_something},
                     {"dumpable", become_dumpable},
                     {"core limit", raise_core_limit},
                     {"kill", signal_parent},
                     {"writable code", map_code}};
    for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
        expect_killed(gate(), forbidden[i].attempt, NULL, forbidden[i].what);
        expect_killed(keeper(), forbidden[i].attempt, NULL, forbidden[i].what);
        expect_killed(clerk(true), forbidden[i].attempt, NULL, forbidden[i].what);
        expect_killed(clerk(false), forbidden[i].attempt, NULL, forbidden[i].what);
    }
}

static void test_gate_opens_and_connects_nothing(void **state)
{
    (void)state;
    int family = AF_UNIX;
    expect_killed(gate(), open_read, "/etc/passwd", "open");
    expect_killed(gate(), open_write, folder, "open for writing");
    expect_killed(gate(), connect_tcp, &port_open, "connect");
    expect_killed(gate(), socket_of, &family, "unix socket");
    expect_killed(gate(), start_thread, NULL, "thread");
    expect_done(gate(), ordinary_work, NULL, "ordinary work");
    expect_done(gate(), accept_client, NULL, "accept");
}

static void test_keeper_reads_the_resolvers_files_and_dials_listed_ports(void **state)
{
    (void)state;
    int family = AF_UNIX, packet = AF_PACKET;
    char path[96];
    snprintf(path, sizeof(path), "%s/new", folder);
    expect_done(keeper(), ordinary_work, NULL, "ordinary work");
    expect_done(keeper(), start_thread, NULL, "thread");
    expect_done(keeper(), resolve_name, NULL, "getaddrinfo");
    expect_done(keeper(), open_read, "/etc/hosts", "open /etc/hosts");
    expect_done(keeper(), connect_tcp, &port_open, "connect to a listed port");
    if (landlock_can(landlock_abi()) & LANDLOCK_CONNECT)
        expect_refused(keeper(), connect_tcp, &port_other, EACCES, "connect to another port");
    expect_killed(keeper(), connect_by_fast_open, &port_other, "connect to another port by fast open");
    expect_killed(keeper(), mptcp_socket, NULL, "MPTCP socket");
    expect_refused(keeper(), open_read, folder, EACCES, "open a folder that is not its own");
    expect_refused(keeper(), open_read, "/proc/self/mem", EACCES, "open its memory");
    expect_killed(keeper(), open_write, path, "open for writing");
    expect_killed(keeper(), socket_of, &packet, "packet socket");
    if (seccomp_built)
        expect_refused(keeper(), socket_of, &family, EAFNOSUPPORT, "unix socket");
    expect_killed(keeper(), accept_client, NULL, "accept");
    if (landlock_can(landlock_abi()) & LANDLOCK_BIND)
        expect_refused(keeper(), listen_tcp, NULL, EACCES, "listen");
}

static void test_clerk_writes_its_folder_and_nothing_else(void **state)
{
    (void)state;
    int family = AF_UNIX;
    expect_done(clerk(false), ordinary_work, NULL, "ordinary work");
    expect_done(clerk(false), write_rename_remove, NULL, "write, lock, rename, remove");
    expect_refused(clerk(false), open_write, "/etc/purser-test", EACCES, "write elsewhere");
    expect_refused(clerk(false), open_write, "/tmp/purser-test", EACCES, "write elsewhere");
    expect_refused(clerk(false), open_read, "/proc/self/environ", EACCES, "read elsewhere");
    expect_killed(clerk(false), connect_tcp, &port_open, "connect without a server");
    expect_killed(clerk(false), socket_of, &family, "unix socket without a server");
    expect_killed(clerk(false), start_thread, NULL, "thread");
    expect_done(clerk(true), connect_tcp, &port_open, "connect to its server");
    expect_done(clerk(true), socket_of, &family, "unix socket to its server");
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
    assert_int_equal(sandbox_report(&report), 0);
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
        cmocka_unit_test(test_no_role_gets_out),
        cmocka_unit_test(test_gate_opens_and_connects_nothing),
        cmocka_unit_test(test_keeper_reads_the_resolvers_files_and_dials_listed_ports),
        cmocka_unit_test(test_clerk_writes_its_folder_and_nothing_else),
        cmocka_unit_test(test_a_role_has_no_capability_and_leaves_no_core),
        cmocka_unit_test(test_the_supervisor_is_hardened_and_still_starts_programs),
        cmocka_unit_test(test_report_says_what_holds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
