/* Which system calls a role may make: one table, and below it the calls that depend on their arguments. A
 * call that is in neither ends the process (trap.h). A call of another architecture (32 bit, x32) ends it
 * too.
 */
#include "sandbox/syscalls.h"

#include "sandbox/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define NAME_MEMORY 0x53564d41 /* PR_SET_VMA; newer than the headers */

#define G   1u  /* gate */
#define K   2u  /* keeper */
#define C   4u  /* clerk, always */
#define N   8u  /* clerk with a server */
#define U   32u /* clerk whose server is at a unix socket */
#define T   64u /* clerk whose server is not */
#define R   16u /* rotate */
#define ALL (G | K | C | R)

const bool seccomp_built = true;

typedef struct Call {
    int number; /* SCMP_SYS: negative where the machine has no such call */
    unsigned who;
} Call;

#define CALL(name, who)                                                                                      \
    {                                                                                                        \
        SCMP_SYS(name), who                                                                                  \
    }

/* Found by tracing each role from here on through all tests that drive it. Beside a call that was seen stand
 * the others that a C library or OpenSSL of another version makes of the same function: what a role may do is
 * then the same, whatever they are built with. */
static const Call calls[] = {
    /* Descriptors that are there already. None makes a second one of another but the keeper's fcntl below:
     * what the audit's descriptor can do stays what it was opened for. */
    CALL(read, ALL), CALL(write, ALL), CALL(close, ALL), CALL(fstat, ALL), CALL(lseek, ALL),
    CALL(writev, ALL), /* what abort() and the stack protector say last */
    CALL(pread64, K | C | R), CALL(readv, K | C | R),
    CALL(pwrite64, K | C | R), /* the keeper: a revealed token into its file, and the zeros over it */
    /* waiting */
    CALL(epoll_ctl, G | K | R), CALL(epoll_wait, G | K | R), CALL(epoll_pwait, G | K | R), CALL(poll, ALL),
    CALL(ppoll, ALL), CALL(nanosleep, C | R), CALL(clock_nanosleep, C | R), CALL(restart_syscall, ALL),
    CALL(futex, ALL), CALL(alarm, C), CALL(setitimer, C), /* an end to reading a file that never answers */
    /* sockets that are there already */
    CALL(recvmsg, ALL), CALL(recvfrom, ALL), CALL(getsockopt, G | K | N | R), CALL(setsockopt, G | K | N | R),
    CALL(shutdown, G), CALL(accept4, G),
    /* sockets of their own: where to, Landlock says (TCP), and the keeper's own check (each address) */
    CALL(connect, K | N | R), CALL(getsockname, K | N | R), CALL(getpeername, K | N | R),
    /* memory */
    CALL(munmap, ALL), CALL(mremap, ALL), CALL(madvise, ALL), CALL(brk, ALL),
    /* Itself, and the time. These tell and change nothing outside the process; libraries differ in which they
     * ask. */
    CALL(exit, ALL), CALL(exit_group, ALL), CALL(getpid, ALL), CALL(gettid, ALL), CALL(getuid, ALL),
    CALL(geteuid, ALL), CALL(getgid, ALL), CALL(getegid, ALL), CALL(clock_gettime, ALL),
    CALL(gettimeofday, ALL), CALL(time, ALL), CALL(getrandom, ALL), CALL(sched_yield, ALL),
    CALL(uname, K | N | R), CALL(sysinfo, ALL), /* qsort() */
    CALL(sched_getaffinity, ALL), CALL(rt_sigaction, ALL), CALL(rt_sigprocmask, ALL), CALL(rt_sigreturn, ALL),
    /* files by name: which, Landlock says */
    CALL(newfstatat, K | C | R), CALL(statx, K | C | R), CALL(stat, K | C | R), CALL(lstat, K | C | R),
    CALL(access, K | C | R), CALL(faccessat, K | C | R), CALL(faccessat2, K | C | R),
    /* SQLite and its journals */
    CALL(open, C | R), CALL(openat, C | R), CALL(readlink, C | R), CALL(readlinkat, C | R),
    CALL(fsync, C | R), CALL(fdatasync, C), CALL(unlink, C | R), CALL(unlinkat, C | R),
    CALL(ftruncate, C | R), CALL(fchmod, C | R), CALL(fchown, C | R),
    /* a rotation's files, each written beside itself and renamed; its journal's folder; its locks */
    CALL(rename, R), CALL(renameat, R), CALL(renameat2, R), CALL(mkdir, R), CALL(mkdirat, R), CALL(flock, R),
    CALL(wait4, R), CALL(epoll_create1, R),
    /* threads: libcurl's resolver, which tells of its end over a socket pair; later ones over these */
    CALL(rseq, K | R), CALL(set_robust_list, K | R), CALL(eventfd2, K | R), CALL(pipe2, K | R)};

/* Calls that depend on an argument, or that are refused with an errno because libraries can do without. */
typedef struct Rule {
    unsigned who;
    uint32_t action;
    int number;
    struct scmp_arg_cmp when, and, too; /* op 0: there is none, nor one behind it */
} Rule;

#define ALLOW(name, who, ...)                                                                                \
    {                                                                                                        \
        who, SCMP_ACT_ALLOW, SCMP_SYS(name), {__VA_ARGS__},                                                  \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
#define REFUSE(name, who, error, ...)                                                                        \
    {                                                                                                        \
        who, SCMP_ACT_ERRNO(error), SCMP_SYS(name), {__VA_ARGS__},                                           \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
/* TCP and UDP; not MPTCP, SCTP and DCCP, whose connects Landlock does not limit. Of the last two a type alone
 * makes one, whose module the kernel then looks for. */
#define ALLOW_SOCKET(who, family, type)                                                                      \
    {                                                                                                        \
        who, SCMP_ACT_ALLOW, SCMP_SYS(socket), {IS(0, family)}, {BITS(1, TYPES, type)},                      \
        {                                                                                                    \
            2, SCMP_CMP_LE, IPPROTO_UDP, 0                                                                   \
        }                                                                                                    \
    }
#define TYPES                       0xF /* beside SOCK_CLOEXEC and SOCK_NONBLOCK */
#define IS(argument, value)         argument, SCMP_CMP_EQ, value, 0
#define BITS(argument, mask, value) argument, SCMP_CMP_MASKED_EQ, mask, value

#define OPEN_FOR_CHANGE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define A_THREAD        (CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)
#define A_NAMESPACE                                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |            \
     CLONE_NEWNET)

static const Rule rules[] = {
    /* sockets */
    ALLOW(socketpair, G | K | R, IS(0, AF_UNIX)),
    ALLOW_SOCKET(K | N | R, AF_INET, SOCK_STREAM),
    ALLOW_SOCKET(K | N | R, AF_INET, SOCK_DGRAM),
    ALLOW_SOCKET(K | N | R, AF_INET6, SOCK_STREAM),
    ALLOW_SOCKET(K | N | R, AF_INET6, SOCK_DGRAM),
    ALLOW(socket, U, IS(0, AF_UNIX)), /* to any: Landlock does not limit them */
    REFUSE(socket, K | T | R, EAFNOSUPPORT, IS(0, AF_UNIX)),
    REFUSE(socket, K | N | R, EAFNOSUPPORT, IS(0, AF_NETLINK)),
    /* fast open connects without Landlock's being asked */
    ALLOW(sendto, ALL, BITS(3, MSG_FASTOPEN, 0)),
    ALLOW(sendmsg, ALL, BITS(2, MSG_FASTOPEN, 0)),
    ALLOW(sendmmsg, K | N | R, BITS(3, MSG_FASTOPEN, 0)),
    /* files */
    ALLOW(openat, K, BITS(2, OPEN_FOR_CHANGE, O_RDONLY)),
    ALLOW(open, K, BITS(1, OPEN_FOR_CHANGE, O_RDONLY)),
    ALLOW(fcntl, ALL, IS(1, F_GETFL)),
    ALLOW(fcntl, ALL, IS(1, F_GETFD)),
    ALLOW(fcntl, ALL, IS(1, F_SETFD)),
    ALLOW(fcntl, K | N | R, IS(1, F_DUPFD_CLOEXEC)),
    /* The keeper's audit is append only, and stays so; libcurl asks for non-blocking sockets that are it. */
    REFUSE(fcntl, K | R, EPERM, IS(1, F_SETFL)),
    ALLOW(fcntl, N, IS(1, F_SETFL)),
    ALLOW(fcntl, C, IS(1, F_SETLK)),
    ALLOW(fcntl, C, IS(1, F_SETLKW)),
    ALLOW(fcntl, C, IS(1, F_GETLK)),
    ALLOW(ioctl, K | N | R, IS(1, FIONREAD)),
    ALLOW(ioctl, K | N | R, IS(1, FIONBIO)),
    REFUSE(ioctl, G | K | C, ENOTTY, IS(1, TCGETS)),
    ALLOW(ioctl, R, IS(1, TCGETS)), /* a person is asked, without echo */
    ALLOW(ioctl, R, IS(1, TCSETSF)),
    /* memory: no role runs code that is not mapped yet but those that resolve names, which load name services
     */
    ALLOW(mmap, ALL, BITS(2, PROT_EXEC, 0)),
    ALLOW(mmap, K | N | R, BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)),
    ALLOW(mprotect, ALL, BITS(2, PROT_EXEC, 0)),
    /* itself */
    ALLOW(clone, K | R, BITS(0, A_THREAD | A_NAMESPACE, A_THREAD)),
    ALLOW(prlimit64, ALL, IS(2, 0)), /* asking, not setting */
    ALLOW(prctl, K | R, IS(0, PR_SET_NAME)),
    ALLOW(prctl, ALL, IS(0, PR_GET_DUMPABLE)),
    REFUSE(prctl, ALL, EPERM, IS(0, NAME_MEMORY)),
};

static int fill(scmp_filter_ctx filter, unsigned who)
{
    int r = 0;
    for (size_t i = 0; !r && i < COUNT_OF(calls); i++)
        if (calls[i].who & who)
            r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i].number, 0);
    for (size_t i = 0; !r && i < COUNT_OF(rules); i++)
        if (rules[i].who & who)
            r = seccomp_rule_add_array(
                filter, rules[i].action, rules[i].number,
                rules[i].too.op   ? 3
                : rules[i].and.op ? 2
                                  : 1,
                (const struct scmp_arg_cmp[]){rules[i].when, rules[i].and, rules[i].too});
    if (!r) /* pthread_create and posix_spawn then try clone */
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!r) /* abort() */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!r && who & R) /* a signal that came while a person was asked, once the terminal is as it was */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    return r;
}

int seccomp_enter(const SandboxSpec *spec)
{
    unsigned who = spec->role == SANDBOX_GATE     ? G
                   : spec->role == SANDBOX_KEEPER ? K
                   : spec->role == SANDBOX_ROTATE ? R
                   : !spec->network               ? C
                   : spec->unix_socket            ? C | N | U
                                                  : C | N | T;
    scmp_filter_ctx filter = seccomp_init(trap_action());
    if (!filter)
        return -ENOMEM;
    int r = fill(filter, who);
    if (!r)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
                             2); /* a tree, not a list: every call pays for it */
    if (!r)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}
