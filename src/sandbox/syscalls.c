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

#define G   1u /* gate */
#define K   2u /* keeper */
#define C   4u /* clerk, always */
#define N   8u /* clerk with a server */
#define ALL (G | K | C)

const bool seccomp_built = true;

typedef struct Call {
    int number; /* SCMP_SYS: negative where the machine has no such call */
    unsigned who;
} Call;

#define CALL(name, who)                                                                                      \
    {                                                                                                        \
        SCMP_SYS(name), who                                                                                  \
    }

static const Call calls[] = {
    /* descriptors that are there already */
    CALL(read, ALL), CALL(readv, ALL), CALL(write, ALL), CALL(writev, ALL), CALL(close, ALL),
    CALL(close_range, ALL), CALL(lseek, ALL), CALL(fstat, ALL), CALL(newfstatat, ALL), CALL(statx, ALL),
    CALL(dup, ALL), CALL(dup3, ALL), CALL(pread64, ALL), CALL(preadv, ALL), CALL(pipe2, ALL),
    CALL(eventfd2, ALL),
    /* waiting */
    CALL(epoll_create1, ALL), CALL(epoll_ctl, ALL), CALL(epoll_wait, ALL), CALL(epoll_pwait, ALL),
    CALL(epoll_pwait2, ALL), CALL(poll, ALL), CALL(ppoll, ALL), CALL(select, ALL), CALL(pselect6, ALL),
    CALL(timerfd_create, ALL), CALL(timerfd_settime, ALL), CALL(nanosleep, ALL), CALL(clock_nanosleep, ALL),
    CALL(restart_syscall, ALL), CALL(futex, ALL), CALL(sched_yield, ALL), CALL(alarm, C),
    CALL(setitimer, C), /* an end to reading a file that never answers */
    /* sockets that are there already */
    CALL(recvmsg, ALL), CALL(recvfrom, ALL), CALL(recvmmsg, ALL), CALL(shutdown, ALL), CALL(getsockopt, ALL),
    CALL(setsockopt, ALL), CALL(getsockname, ALL), CALL(getpeername, ALL), CALL(accept, G), CALL(accept4, G),
    CALL(connect, K | N), CALL(bind, K | N),
    /* memory */
    CALL(munmap, ALL), CALL(mremap, ALL), CALL(madvise, ALL), CALL(brk, ALL), CALL(mlock, ALL),
    CALL(mlock2, ALL), CALL(munlock, ALL), CALL(mincore, ALL), CALL(membarrier, ALL),
    /* itself, and the time */
    CALL(exit, ALL), CALL(exit_group, ALL), CALL(getpid, ALL), CALL(gettid, ALL), CALL(getppid, ALL),
    CALL(getuid, ALL), CALL(geteuid, ALL), CALL(getgid, ALL), CALL(getegid, ALL), CALL(clock_gettime, ALL),
    CALL(clock_getres, ALL), CALL(gettimeofday, ALL), CALL(time, ALL), CALL(getrandom, ALL),
    CALL(getrusage, ALL), CALL(getrlimit, ALL), CALL(uname, ALL), CALL(sysinfo, ALL),
    CALL(sched_getaffinity, ALL), CALL(getcpu, ALL), CALL(rseq, ALL), CALL(set_robust_list, ALL),
    CALL(rt_sigaction, ALL), CALL(rt_sigprocmask, ALL), CALL(rt_sigreturn, ALL), CALL(sigaltstack, ALL),
    CALL(rt_sigtimedwait, ALL),
    /* files: what may be opened is Landlock's business */
    CALL(stat, K | C), CALL(lstat, K | C), CALL(access, K | C), CALL(faccessat, K | C),
    CALL(faccessat2, K | C), CALL(readlink, K | C), CALL(readlinkat, K | C), CALL(getdents64, K | C),
    CALL(getcwd, K | C), CALL(statfs, K | C), CALL(fstatfs, K | C), CALL(fadvise64, K | C),
    CALL(fsync, K | C), CALL(fdatasync, K | C), CALL(umask, K | C), CALL(flock, K | C), CALL(pwrite64, K | C),
    CALL(pwritev, K | C),
    /* SQLite and its journals */
    CALL(open, C), CALL(openat, C), CALL(unlink, C), CALL(unlinkat, C), CALL(ftruncate, C),
    CALL(fallocate, C), CALL(fchmod, C), CALL(fchown, C), CALL(rename, C), CALL(renameat, C),
    CALL(renameat2, C), CALL(mkdir, C), CALL(mkdirat, C), CALL(rmdir, C), CALL(utimensat, C),
    CALL(memfd_create, C),
    /* threads: libcurl's resolver */
    CALL(sched_setaffinity, K), CALL(set_tid_address, K), CALL(sched_getparam, K),
    CALL(sched_getscheduler, K)};

/* Calls that depend on an argument, or that are refused with an errno because libraries can do without. */
typedef struct Rule {
    unsigned who;
    uint32_t action;
    int number;
    struct scmp_arg_cmp when, and; /* and.op 0: one condition only */
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
/* TCP and UDP; not MPTCP, whose connects Landlock does not limit. */
#define ALLOW_SOCKET(who, family)                                                                            \
    {                                                                                                        \
        who, SCMP_ACT_ALLOW, SCMP_SYS(socket), {IS(0, family)},                                              \
        {                                                                                                    \
            2, SCMP_CMP_LE, IPPROTO_UDP, 0                                                                   \
        }                                                                                                    \
    }
#define IS(argument, value)         argument, SCMP_CMP_EQ, value, 0
#define BITS(argument, mask, value) argument, SCMP_CMP_MASKED_EQ, mask, value

#define OPEN_FOR_CHANGE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define A_THREAD        (CLONE_THREAD | CLONE_VM | CLONE_SIGHAND)

static const Rule rules[] = {
    /* sockets */
    ALLOW(socketpair, ALL, IS(0, AF_UNIX)),
    ALLOW_SOCKET(K | N, AF_INET),
    ALLOW_SOCKET(K | N, AF_INET6),
    ALLOW(socket, N, IS(0, AF_UNIX)),
    REFUSE(socket, K, EAFNOSUPPORT, IS(0, AF_UNIX)),
    REFUSE(socket, K | N, EAFNOSUPPORT, IS(0, AF_NETLINK)),
    /* fast open connects without Landlock's being asked */
    ALLOW(sendto, ALL, BITS(3, MSG_FASTOPEN, 0)),
    ALLOW(sendmsg, ALL, BITS(2, MSG_FASTOPEN, 0)),
    ALLOW(sendmmsg, ALL, BITS(3, MSG_FASTOPEN, 0)),
    /* files */
    ALLOW(openat, K, BITS(2, OPEN_FOR_CHANGE, O_RDONLY)),
    ALLOW(open, K, BITS(1, OPEN_FOR_CHANGE, O_RDONLY)),
    ALLOW(fcntl, ALL, IS(1, F_GETFL)),
    ALLOW(fcntl, ALL, IS(1, F_SETFL)),
    ALLOW(fcntl, ALL, IS(1, F_GETFD)),
    ALLOW(fcntl, ALL, IS(1, F_SETFD)),
    ALLOW(fcntl, ALL, IS(1, F_DUPFD_CLOEXEC)),
    ALLOW(fcntl, K | C, IS(1, F_GET_SEALS)),
    ALLOW(fcntl, C, IS(1, F_ADD_SEALS)),
    ALLOW(fcntl, C, IS(1, F_SETLK)),
    ALLOW(fcntl, C, IS(1, F_SETLKW)),
    ALLOW(fcntl, C, IS(1, F_GETLK)),
    ALLOW(fcntl, C, IS(1, F_OFD_SETLK)),
    ALLOW(ioctl, ALL, IS(1, FIONREAD)),
    ALLOW(ioctl, ALL, IS(1, FIONBIO)),
    REFUSE(ioctl, ALL, ENOTTY, IS(1, TCGETS)),
    /* memory: the gate runs no code that is not mapped yet; the others load name services and character sets
     */
    ALLOW(mmap, ALL, BITS(2, PROT_EXEC, 0)),
    ALLOW(mmap, K | C, BITS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)),
    ALLOW(mprotect, ALL, BITS(2, PROT_EXEC, 0)),
    /* itself */
    ALLOW(clone, K, BITS(0, A_THREAD, A_THREAD)),
    ALLOW(prlimit64, ALL, IS(2, 0)), /* asking, not setting */
    ALLOW(prctl, ALL, IS(0, PR_SET_NAME)),
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
            r = seccomp_rule_add_array(filter, rules[i].action, rules[i].number, rules[i].and.op ? 2 : 1,
                                       (const struct scmp_arg_cmp[]){rules[i].when, rules[i].and });
    if (!r) /* pthread_create and posix_spawn then try clone */
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!r) /* abort() */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    return r;
}

int seccomp_enter(const SandboxSpec *spec)
{
    unsigned who = spec->role == SANDBOX_GATE     ? G
                   : spec->role == SANDBOX_KEEPER ? K
                   : spec->network                ? C | N
                                                  : C;
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
