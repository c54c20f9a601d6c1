/* The filters of system calls, the script's and the runner's own. See filter.h. */
#include "runner/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#ifdef SYS_poll
#define SYS_poll_call SYS_poll
#else
#define SYS_poll_call SYS_ppoll
#endif

#define X32_BIT 0x40000000u

#define SOCKET_TYPES 0xFu /* beside SOCK_CLOEXEC and SOCK_NONBLOCK */

/* Little-endian machines: the lower half of an argument comes first. */
#define OFFSET(field)   ((uint32_t) __builtin_offsetof(struct seccomp_data, field))
#define ARGUMENT(n)     (OFFSET(args) + 8u * (n))
#define LOAD(offset)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define REFUSE(error)   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define IF(value, n)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (n)) /* else skip n */
#define IF_BIT(mask, n) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (uint32_t)(mask), 0, (n)) /* else skip n */

#define NEVER(name, error) IF(SYS_##name, 1), REFUSE(error)
#define NEVER_WITH(name, argument, bits)                                                                     \
    IF(SYS_##name, 4), LOAD(ARGUMENT(argument)), IF_BIT(bits, 1), REFUSE(EOPNOTSUPP), ALLOW

/* One list: these are allowed, as often as there are rows. */
#define MAY(name) IF(SYS_##name, 1), ALLOW
/* Allowed without these bits of an argument. Loads the argument, and ends either way. */
#define MAY_WITHOUT(name, argument, bits)                                                                    \
    IF(SYS_##name, 4), LOAD(ARGUMENT(argument)), IF_BIT(bits, 1), KILL, ALLOW
#define KILL            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define OPEN_FOR_CHANGE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

#ifdef MACHINE
static int enter(struct sock_filter *code, size_t n)
{
    struct sock_fprog program = {(unsigned short)n, code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

int filter_enter(void)
{
    static struct sock_filter code[] = {
        LOAD(OFFSET(arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
        REFUSE(ENOSYS),
        LOAD(OFFSET(nr)),
        IF_BIT(X32_BIT, 1),
        REFUSE(ENOSYS),
        NEVER(ptrace, EPERM),
        NEVER(process_vm_readv, EPERM),
        NEVER(process_vm_writev, EPERM),
        NEVER(bpf, EPERM),
        NEVER(perf_event_open, EPERM),
        NEVER(userfaultfd, EPERM),
        NEVER(keyctl, EPERM),
        NEVER(add_key, EPERM),
        NEVER(request_key, EPERM),
        NEVER(mount, EPERM),
        NEVER(setns, EPERM),
        NEVER(unshare, EPERM),
        NEVER(io_uring_setup, ENOSYS),
        NEVER_WITH(sendto, 3, MSG_FASTOPEN),
        NEVER_WITH(sendmsg, 2, MSG_FASTOPEN),
        NEVER_WITH(sendmmsg, 3, MSG_FASTOPEN),
        /* clone3 hides its flags behind a pointer; glibc then takes clone */
        NEVER(clone3, ENOSYS),
        NEVER_WITH(clone, 0, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID),
        IF(SYS_socket, 18),
        LOAD(ARGUMENT(0)),
        IF(AF_UNIX, 1),
        ALLOW,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0),
        REFUSE(EAFNOSUPPORT),
        /* by its type alone, without a protocol, a socket is SCTP's or DCCP's */
        LOAD(ARGUMENT(1)),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCKET_TYPES),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 1, 0),
        REFUSE(EPROTONOSUPPORT),
        LOAD(ARGUMENT(2)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0),
        REFUSE(EPROTONOSUPPORT),
        ALLOW,
    };
    return enter(code, sizeof(code) / sizeof(code[0]));
}

/* What is left to do: print, wait, signal the tree, read what it left, say so to the gate. */
int filter_enter_runner(void)
{
    static struct sock_filter code[] = {
        LOAD(OFFSET(arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
        KILL,
        LOAD(OFFSET(nr)),
        MAY(read),
        MAY(write),
        MAY(writev),
        MAY(close),
        MAY(poll_call),
        MAY(ppoll),
        MAY(sendmsg),
        MAY(recvmsg),
        MAY(wait4),
        MAY(waitid),
        MAY(kill),
        MAY(fstat),
        MAY(newfstatat),
        MAY(statx),
        MAY(getdents64),
        MAY(lseek),
        MAY(fcntl),
        MAY(brk),
        MAY(munmap),
        MAY(mremap),
        MAY(madvise),
        MAY(nanosleep),
        MAY(clock_nanosleep),
        MAY(restart_syscall),
        MAY(clock_gettime),
        MAY(gettimeofday),
        MAY(getrandom),
        MAY(getpid),
        MAY(gettid),
        MAY(tgkill), /* abort() */
        MAY(getuid),
        MAY(geteuid),
        MAY(sysinfo), /* qsort() */
        MAY(sched_getaffinity),
        MAY(futex),
        MAY(rt_sigaction),
        MAY(rt_sigprocmask),
        MAY(rt_sigreturn),
        MAY(exit),
        MAY(exit_group),
        IF(SYS_ioctl, 1),
        REFUSE(ENOTTY),
        MAY_WITHOUT(openat, 2, OPEN_FOR_CHANGE),
        MAY_WITHOUT(mmap, 2, PROT_EXEC),
        MAY_WITHOUT(mprotect, 2, PROT_EXEC),
        KILL,
    };
    return enter(code, sizeof(code) / sizeof(code[0]));
}
#else
int filter_enter(void)
{
    return -EOPNOTSUPP;
}

int filter_enter_runner(void)
{
    return -EOPNOTSUPP;
}
#endif
