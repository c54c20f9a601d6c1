/* The script's system call filter. See filter.h. */
#include "runner/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#define X32_BIT 0x40000000u

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

#ifdef MACHINE
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
        IF(SYS_socket, 13),
        LOAD(ARGUMENT(0)),
        IF(AF_UNIX, 1),
        ALLOW,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0),
        REFUSE(EAFNOSUPPORT),
        LOAD(ARGUMENT(2)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0),
        REFUSE(EPROTONOSUPPORT),
        ALLOW,
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
#else
int filter_enter(void)
{
    return -EOPNOTSUPP;
}
#endif
