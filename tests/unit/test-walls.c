/* What each role may not do, tried from inside of it: one table, a row for each thing that somebody would do
 * who had got hold of the role, a column for each role and what becomes of it there.
 */
#include "runner/filter.h"
#include "runner/lock-in.h"
#include "sandbox/landlock.h"
#include "sandbox/probe.h"
#include "sandbox/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What becomes of an attempt: an errno, or one of these. */
enum { DONE = 0, KILLED = -1, ANY = -2 /* not this role's wall: said beside the row */ };

enum {
    GATE,
    KEEPER,
    CLERK,
    SERVER,
    RUNNER,
    SCRIPT,
    ROTATE,
    ROLES
}; /* SERVER: a clerk with a database server */
static const char *const role_name[] = {"gate",   "keeper", "clerk",   "clerk with a server",
                                        "runner", "script", "rotation"};

static char folder[64], inside[96], outside[96];
static uint16_t port_listed, port_other;
static int listener[3], log_fd;
static pid_t self;
static char page[4096] __attribute__((aligned(4096)));

static int answer(long r)
{
    return r < 0 ? -errno : 0;
}

/* --- attempts that need more than one call --- */

static int execute_from_memory(const void *context)
{
    (void)context;
    char *const none[] = {NULL};
    int fd = (int)syscall(SYS_memfd_create, "x", 0);
    return fd < 0 ? -errno : answer(fexecve(fd, none, none));
}

static int connect_to(const void *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(*(const uint16_t *)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int connect_by_fast_open(const void *context)
{
    (void)context;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port_other)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
}

/* Of this test, outside of any wall. */
static int use_abstract(int (*use)(int fd, const struct sockaddr *address, socklen_t len), int *ret_fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "purser-test-walls-%d", (int)self);
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*ret_fd < 0)
        return -errno;
    return answer(use(*ret_fd, (struct sockaddr *)&at, (socklen_t)(sizeof(at.sun_family) + 1 + (size_t)n)));
}

static int connect_abstract(const void *context)
{
    (void)context;
    int fd;
    return use_abstract(connect, &fd);
}

static int listen_tcp(const void *context)
{
    (void)context;
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : answer(bind(fd, (struct sockaddr *)&any, sizeof(any)));
}

static int kill_parent(const void *context)
{
    (void)context;
    return answer(kill(getppid(), 0));
}

static int kill_thread_of_parent(const void *context)
{
    (void)context;
    pid_t parent = (pid_t)(*(const int *)context);
    return answer(syscall(SYS_tgkill, parent, parent, 0));
}

/* Data that was written becomes code. */
static int turn_into_code(const void *context)
{
    (void)context;
    return answer(mprotect(page, sizeof(page), PROT_READ | PROT_EXEC));
}

static int foreign_call(const void *context)
{
    (void)context;
#if defined(__x86_64__)
    long r = 20; /* getpid of 32-bit programs */
    __asm__ volatile("int $0x80" : "+a"(r)::"memory", "r8", "r9", "r10", "r11");
    return r < 0 ? (int)r : 0;
#else
    return -ENOSYS;
#endif
}

/* --- attempts that are one call --- */

typedef struct Call {
    long number;
    long argument[5];
} Call;

static int call_once(const void *context)
{
    const Call *call = context;
    const long *a = call->argument;
    return answer(syscall(call->number, a[0], a[1], a[2], a[3], a[4]));
}

typedef struct Row {
    const char *what;
    ProbeStep *attempt;
    const void *context;
    Call call;          /* when there is no `attempt` */
    int becomes[ROLES]; /* of the attempt, in the order of the roles */
} Row;

#define ALL_KILLED                                                                                           \
    {                                                                                                        \
        KILLED, KILLED, KILLED, KILLED, KILLED, ANY, KILLED                                                  \
    }
#define SCRIPT_TOO(error)                                                                                    \
    {                                                                                                        \
        KILLED, KILLED, KILLED, KILLED, KILLED, error, KILLED                                                \
    }
#define CALL(name, ...)                                                                                      \
    NULL, NULL,                                                                                              \
    {                                                                                                        \
        SYS_##name,                                                                                          \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define NO_CALL                                                                                              \
    {                                                                                                        \
        0,                                                                                                   \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
#define THREAD (CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)

static const Row rows[] = {
    /* starting programs and processes */
    {"execve", CALL(execve, (long)"/bin/true"), ALL_KILLED},
    {"execveat", CALL(execveat, -1, (long)"/bin/true"), ALL_KILLED},
    {"a program from memory", execute_from_memory, NULL, NO_CALL, ALL_KILLED},
    {"clone", CALL(clone, SIGCHLD), ALL_KILLED},
    {"a thread", CALL(clone, 1, 1), ALL_KILLED},
    {"clone3", CALL(clone3), {ENOSYS, ENOSYS, ENOSYS, ENOSYS, KILLED, ENOSYS, ENOSYS}},
    {"a process in namespaces of its own", CALL(clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD),
     SCRIPT_TOO(EOPNOTSUPP)},
    {"a thread in a network of its own", CALL(clone, THREAD | CLONE_NEWNET), SCRIPT_TOO(EOPNOTSUPP)},
    {"unshare", CALL(unshare, CLONE_NEWUSER), SCRIPT_TOO(EPERM)},
    {"setns", CALL(setns, -1), SCRIPT_TOO(EPERM)},
    /* others' memory and lives */
    {"ptrace", CALL(ptrace, PTRACE_TRACEME), SCRIPT_TOO(EPERM)},
    {"process_vm_readv", CALL(process_vm_readv, 1), SCRIPT_TOO(EPERM)},
    {"process_vm_writev", CALL(process_vm_writev, 1), SCRIPT_TOO(EPERM)},
    {"pidfd_open", CALL(pidfd_open, 1), ALL_KILLED},
    {"pidfd_getfd", CALL(pidfd_getfd, -1), ALL_KILLED},
    {"pidfd_send_signal", CALL(pidfd_send_signal, -1), ALL_KILLED},
    {"kcmp", CALL(kcmp, 1, 1), ALL_KILLED},
    /* The runner signals its script's tree, whose user it has: it could signal nobody that the script could
       not. */
    {"kill", kill_parent, NULL, NO_CALL, {KILLED, KILLED, KILLED, KILLED, ANY, ANY, KILLED}},
    {"tgkill", kill_thread_of_parent, &self, NO_CALL, {KILLED, KILLED, KILLED, KILLED, ANY, ANY, KILLED}},
    /* files */
    {"open for writing",
     CALL(openat, AT_FDCWD, (long)outside, O_WRONLY | O_CREAT, 0600),
     {KILLED, KILLED, EACCES, EACCES, KILLED, ANY, EACCES}},
    {"open to be emptied",
     CALL(openat, AT_FDCWD, (long)inside, O_RDONLY | O_TRUNC),
     {KILLED, KILLED, DONE, EACCES, KILLED, ANY, DONE}},
    {"read a file of somebody's",
     CALL(openat, AT_FDCWD, (long)outside, O_RDONLY),
     {KILLED, EACCES, EACCES, EACCES, EACCES, ANY, EACCES}},
    {"read its own memory's file",
     CALL(openat, AT_FDCWD, (long)"/proc/self/mem", O_RDONLY),
     {KILLED, EACCES, EACCES, EACCES, ANY, ANY, EACCES}},
    {"open_by_handle_at", CALL(open_by_handle_at, -1), ALL_KILLED},
    {"openat2", CALL(openat2, -1), ALL_KILLED},
    {"rename",
     CALL(renameat2, AT_FDCWD, (long)inside, AT_FDCWD, (long)outside),
     {KILLED, KILLED, KILLED, KILLED, KILLED, ANY, EACCES}},
    {"link", CALL(linkat, AT_FDCWD, (long)inside, AT_FDCWD, (long)outside), ALL_KILLED},
    {"symlink", CALL(symlinkat, (long)"x", AT_FDCWD, (long)outside), ALL_KILLED},
    {"mkdir",
     CALL(mkdirat, AT_FDCWD, (long)outside, 0700),
     {KILLED, KILLED, KILLED, KILLED, KILLED, ANY, EEXIST}},
    {"mknod", CALL(mknodat, AT_FDCWD, (long)outside, 0600), ALL_KILLED},
    {"chmod", CALL(fchmodat, AT_FDCWD, (long)outside, 0777), ALL_KILLED},
    {"chown", CALL(fchownat, AT_FDCWD, (long)outside, 0, 0), ALL_KILLED},
    {"remove",
     CALL(unlinkat, AT_FDCWD, (long)outside),
     {KILLED, KILLED, EACCES, EACCES, KILLED, ANY, EACCES}},
    {"chroot", CALL(chroot, (long)"/"), ALL_KILLED},
    {"chdir", CALL(chdir, (long)"/"), ALL_KILLED},
    {"inotify", CALL(inotify_init1, 0), ALL_KILLED},
    {"fanotify", CALL(fanotify_init, 0), ALL_KILLED},
    {"getdents of a folder", CALL(getdents64, -1), {KILLED, KILLED, KILLED, KILLED, EBADF, ANY, KILLED}},
    /* what an append-only descriptor could be made into: the audit's, in the keeper */
    {"no more append only", CALL(fcntl, 0, F_SETFL, 0), {KILLED, EPERM, KILLED, DONE, DONE, ANY, EPERM}},
    {"write in the middle", CALL(pwrite64, -1), {KILLED, EBADF, EBADF, EBADF, KILLED, ANY, EBADF}},
    {"writev in the middle", CALL(pwritev, -1), ALL_KILLED},
    {"cut off", CALL(ftruncate, -1), {KILLED, KILLED, EBADF, EBADF, KILLED, ANY, EBADF}},
    {"punch a hole", CALL(fallocate, -1), ALL_KILLED},
    {"a second descriptor", CALL(dup, 0), ALL_KILLED},
    {"a descriptor in another's place", CALL(dup3, 0, 99), ALL_KILLED},
    {"copy_file_range", CALL(copy_file_range, -1), ALL_KILLED},
    {"sendfile", CALL(sendfile, -1), ALL_KILLED},
    {"splice", CALL(splice, -1), ALL_KILLED},
    /* the network */
    {"connect to a port that is not listed",
     connect_to,
     &port_other,
     NO_CALL,
     {KILLED, EACCES, KILLED, EACCES, KILLED, ANY, EACCES}},
    {"connect to a listed port",
     connect_to,
     &port_listed,
     NO_CALL,
     {KILLED, DONE, KILLED, DONE, KILLED, ANY, DONE}},
    {"connect by fast open", connect_by_fast_open, NULL, NO_CALL, SCRIPT_TOO(EOPNOTSUPP)},
    {"connect to an abstract socket",
     connect_abstract,
     NULL,
     NO_CALL,
     {KILLED, EAFNOSUPPORT, KILLED, EAFNOSUPPORT, KILLED, ANY, EAFNOSUPPORT}},
    {"bind", listen_tcp, NULL, NO_CALL, ALL_KILLED},
    {"listen", CALL(listen, -1), ALL_KILLED},
    {"accept", CALL(accept4, -1), {EBADF, KILLED, KILLED, KILLED, KILLED, ANY, KILLED}},
    {"an MPTCP socket", CALL(socket, AF_INET, SOCK_STREAM, 262), SCRIPT_TOO(EPROTONOSUPPORT)},
    {"an SCTP socket", CALL(socket, AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC), SCRIPT_TOO(EPROTONOSUPPORT)},
    {"a DCCP socket", CALL(socket, AF_INET6, 6 /* SOCK_DCCP */), SCRIPT_TOO(EPROTONOSUPPORT)},
    {"a raw socket", CALL(socket, AF_INET, SOCK_RAW, IPPROTO_TCP), SCRIPT_TOO(EPROTONOSUPPORT)},
    {"a UDP socket",
     CALL(socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK),
     {KILLED, DONE, KILLED, DONE, KILLED, DONE, DONE}},
    {"a packet socket", CALL(socket, AF_PACKET, SOCK_DGRAM), SCRIPT_TOO(EAFNOSUPPORT)},
    {"a netlink socket",
     CALL(socket, AF_NETLINK, SOCK_RAW),
     {KILLED, EAFNOSUPPORT, KILLED, EAFNOSUPPORT, KILLED, EAFNOSUPPORT, EAFNOSUPPORT}},
    {"a VSOCK socket", CALL(socket, AF_VSOCK, SOCK_STREAM), SCRIPT_TOO(EAFNOSUPPORT)},
    {"an unix socket",
     CALL(socket, AF_UNIX, SOCK_STREAM),
     {KILLED, EAFNOSUPPORT, KILLED, EAFNOSUPPORT, KILLED, ANY, EAFNOSUPPORT}},
    /* memory */
    {"memory that is written and run", CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, 0x22, -1),
     ALL_KILLED},
    {"code from a file",
     CALL(mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0),
     {KILLED, ANY, KILLED, ANY, KILLED, ANY, ANY}}, /* name services, which Landlock keeps to the system's */
    {"data turned into code", turn_into_code, NULL, NO_CALL, ALL_KILLED},
    {"memfd_create", CALL(memfd_create, (long)"x", 0), ALL_KILLED},
    {"userfaultfd", CALL(userfaultfd, 0), SCRIPT_TOO(EPERM)},
    {"process_madvise", CALL(process_madvise, -1), ALL_KILLED},
    {"mlockall", CALL(mlockall, 1), ALL_KILLED},
    {"shared memory", CALL(shmget, 0, 4096), ALL_KILLED},
    {"message queues", CALL(msgget, 0, 0), ALL_KILLED},
    {"pkey_mprotect", CALL(pkey_mprotect, 0), ALL_KILLED},
    {"remap_file_pages", CALL(remap_file_pages, 0), ALL_KILLED},
    /* what it is */
    {"setuid", CALL(setuid, 0), ALL_KILLED},
    {"setgroups", CALL(setgroups, 0), ALL_KILLED},
    {"capset", CALL(capset, 0), ALL_KILLED},
    {"be dumped", CALL(prctl, PR_SET_DUMPABLE, 1), ALL_KILLED},
    {"be traced by anybody", CALL(prctl, 0x59616d61 /* PR_SET_PTRACER */, -1), ALL_KILLED},
    {"outlive its supervisor", CALL(prctl, PR_SET_PDEATHSIG, 0), ALL_KILLED},
    {"a core", CALL(prlimit64, 0, 4 /* RLIMIT_CORE */, (long)page), ALL_KILLED},
    {"setrlimit", CALL(setrlimit, 4, (long)page), ALL_KILLED},
    {"personality", CALL(personality, 0), ALL_KILLED},
    {"a filter of its own", CALL(seccomp, 1), ALL_KILLED},
    {"setpriority", CALL(setpriority, 0), ALL_KILLED},
    {"sched_setattr", CALL(sched_setattr, 0), ALL_KILLED},
    /* the kernel */
    {"mount", CALL(mount, (long)"none", (long)"/tmp", (long)"tmpfs"), SCRIPT_TOO(EPERM)},
    {"umount2", CALL(umount2, (long)"/"), ALL_KILLED},
    {"fsopen", CALL(fsopen, (long)"tmpfs"), ALL_KILLED},
    {"move_mount", CALL(move_mount, -1), ALL_KILLED},
    {"pivot_root", CALL(pivot_root, 0), ALL_KILLED},
    {"init_module", CALL(init_module, 0), ALL_KILLED},
    {"finit_module", CALL(finit_module, -1), ALL_KILLED},
    {"bpf", CALL(bpf, 0), SCRIPT_TOO(EPERM)},
    {"perf_event_open", CALL(perf_event_open, 0), SCRIPT_TOO(EPERM)},
    {"io_uring_setup", CALL(io_uring_setup, 1), SCRIPT_TOO(ENOSYS)},
    {"keyctl", CALL(keyctl, 0), SCRIPT_TOO(EPERM)},
    {"add_key", CALL(add_key, 0), SCRIPT_TOO(EPERM)},
    {"request_key", CALL(request_key, 0), SCRIPT_TOO(EPERM)},
    {"kexec_load", CALL(kexec_load, 0), ALL_KILLED},
    {"reboot", CALL(reboot, 0), ALL_KILLED},
    {"swapon", CALL(swapon, (long)"x"), ALL_KILLED},
    {"syslog", CALL(syslog, 0), ALL_KILLED},
    {"settimeofday", CALL(settimeofday, 0), ALL_KILLED},
    {"acct", CALL(acct, 0), ALL_KILLED},
    {"quotactl", CALL(quotactl, 0), ALL_KILLED},
    {"a character typed at the terminal",
     CALL(ioctl, 0, 0x5412 /* TIOCSTI */),
     {KILLED, KILLED, KILLED, KILLED, ENOTTY, ANY, KILLED}},
#if defined(__x86_64__)
    {"fork", CALL(fork), ALL_KILLED},
    {"vfork", CALL(vfork), ALL_KILLED},
    {"iopl", CALL(iopl, 3), ALL_KILLED},
    {"modify_ldt", CALL(modify_ldt, 0), ALL_KILLED},
    {"a call of 32-bit programs", foreign_call, NULL, NO_CALL, SCRIPT_TOO(ENOSYS)},
    {"a call of x32 programs", CALL(getpid + 0x40000000), SCRIPT_TOO(ENOSYS)},
#endif
};

/* --- walls --- */

static int wall_of(const void *context)
{
    const char *const write_path[] = {folder};
    int role = *(const int *)context;
    SandboxSpec spec = {.role = role == GATE     ? SANDBOX_GATE
                                : role == KEEPER ? SANDBOX_KEEPER
                                : role == ROTATE ? SANDBOX_ROTATE
                                                 : SANDBOX_CLERK};
    if (role == RUNNER)
        return lock_in(log_fd, false);
    if (role == SCRIPT)
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : filter_enter();
    if (role == KEEPER || role == SERVER || role == ROTATE) {
        spec.connect_port = &port_listed;
        spec.n_connect_port = 1;
    }
    spec.network = role == SERVER;
    if (role == CLERK || role == ROTATE) {
        spec.write_path = write_path;
        spec.n_write_path = 1;
    }
    return sandbox_enter(&spec, NULL);
}

static bool needs_landlock(const Row *row, int becomes)
{
    unsigned can = landlock_can(landlock_abi());
    return becomes == EACCES && !(can & (row->attempt == connect_to ? LANDLOCK_CONNECT : LANDLOCK_FILES));
}

static void say(const Row *row, int role, const ProbeResult *result)
{
    static const char *const end[] = {"it was done", "it was refused", "the role was killed",
                                      "nothing is known"};
    fail_msg("%s in the %s: %s (%s), wait status %x", row->what, role_name[role], end[result->end],
             strerror(result->error), (unsigned)result->wait_status);
}

static void try(const Row *row, int role)
{
    int becomes = row->becomes[role];
    if (becomes == ANY || needs_landlock(row, becomes) ||
        (!seccomp_built && role != SCRIPT && becomes != EACCES))
        return;
    ProbeResult result = row->attempt ? probe_run(wall_of, &role, row->attempt, row->context)
                                      : probe_run(wall_of, &role, call_once, &row->call);
    bool right = becomes == KILLED ? result.end == PROBE_KILLED
                 : becomes == DONE ? result.end == PROBE_DONE
                                   : result.end == PROBE_REFUSED && result.error == becomes;
    if (!right)
        say(row, role, &result);
}

static void test_no_role_gets_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int role = 0; role < ROLES; role++)
            try(&rows[i], role);
    print_message("# %zu attempts by %d roles\n", COUNT_OF(rows), ROLES);
}

/* Landlock does not limit to which: so nobody else has any. */
static void test_unix_sockets_are_of_a_clerk_whose_server_is_at_one(void **state)
{
    (void)state;
    const SandboxSpec spec = {.role = SANDBOX_CLERK, .network = true, .unix_socket = true};
    const Call make = {SYS_socket, {AF_UNIX, SOCK_STREAM}};
    assert_int_equal(probe_role(&spec, call_once, &make).end, PROBE_DONE);
    if (!(landlock_can(landlock_abi()) & LANDLOCK_SCOPE))
        return;
    ProbeResult result = probe_role(&spec, connect_abstract, NULL);
    assert_true(result.end == PROBE_REFUSED && result.error == EPERM);
}

/* So that the test above can fail: without walls hardly anything ends so. */
static void test_without_walls_nobody_is_killed(void **state)
{
    (void)state;
    static const char *const harmless[] = {"execveat",
                                           "kill",
                                           "memfd_create",
                                           "be dumped",
                                           "a second descriptor",
                                           "connect to a port that is not listed",
                                           "read a file of somebody's",
                                           "an unix socket",
                                           "personality"};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t k = 0; k < COUNT_OF(harmless); k++) {
            if (strcmp(rows[i].what, harmless[k]) != 0)
                continue;
            ProbeResult result = rows[i].attempt ? probe_run(NULL, NULL, rows[i].attempt, rows[i].context)
                                                 : probe_run(NULL, NULL, call_once, &rows[i].call);
            if (result.end == PROBE_KILLED)
                fail_msg("%s: killed without walls", rows[i].what);
        }
}

static uint16_t listen_somewhere(int *ret_fd)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t len = sizeof(here);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(*ret_fd, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(*ret_fd, 16) < 0 ||
        getsockname(*ret_fd, (struct sockaddr *)&here, &len) < 0)
        return 0;
    return ntohs(here.sin_port);
}

static int make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return fd < 0 ? -1 : close(fd);
}

static int set_up(void **state)
{
    (void)state;
    self = getpid();
    snprintf(folder, sizeof(folder), "/tmp/purser-walls-XXXXXX");
    port_listed = listen_somewhere(&listener[0]);
    port_other = listen_somewhere(&listener[1]);
    if (!port_listed || !port_other || use_abstract(bind, &listener[2]) || listen(listener[2], 1) < 0 ||
        !mkdtemp(folder))
        return -1;
    snprintf(inside, sizeof(inside), "%s/file", folder);
    snprintf(outside, sizeof(outside), "%s.outside", folder);
    log_fd = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return log_fd < 0 || make_file(inside) || make_file(outside) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(inside);
    unlink(outside);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_role_gets_out),
        cmocka_unit_test(test_unix_sockets_are_of_a_clerk_whose_server_is_at_one),
        cmocka_unit_test(test_without_walls_nobody_is_killed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
