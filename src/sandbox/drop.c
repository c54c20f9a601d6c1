/* Capabilities and resource limits. See drop.h. */
#include "sandbox/drop.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MiB (1024ull * 1024)

#ifdef PURSER_SANITIZED
/* At its end the leak search traces the process and reads /proc, which a role may not do any more, and what a
 * script starts never. */
static int walled;

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return walled || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0;
}
#endif

int sandbox_harden(Fault *fault)
{
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return fault_set(fault, -errno, "Cannot make the process undumpable: %s.", strerror(errno));
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return fault_set(fault, -errno, "Cannot forbid core dumps: %s.", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fault_set(fault, -errno, "Cannot set no_new_privs: %s.", strerror(errno));
    return 0;
}

/* A token's file stays its owner's: for that root needs what it could do anyway, and no more. */
static uint32_t kept_by(SandboxRole role)
{
    return role == SANDBOX_ROTATE ? 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER : 0;
}

int drop_capabilities(SandboxRole role)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct set[2] = {{0}};
    uint32_t kept = kept_by(role);
    /* Without CAP_SETPCAP the bounding set stays; no_new_privs and no execve make it void. */
    for (int cap = 0; cap < 64; cap++)
        if (!(cap < 32 && kept & 1u << cap) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            break;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    if (kept && syscall(SYS_capget, &header, set) < 0)
        return -errno;
    set[0].permitted &= kept;
    set[0].effective &= kept;
    set[0].inheritable = 0;
    set[1] = (struct __user_cap_data_struct){0};
    return syscall(SYS_capset, &header, set) < 0 ? -errno : 0;
}

static int lower(__rlimit_resource_t which, uint64_t most)
{
    struct rlimit now;
    if (getrlimit(which, &now) < 0)
        return -errno;
    if (now.rlim_max > most)
        now.rlim_max = most;
    now.rlim_cur = now.rlim_max;
    return setrlimit(which, &now) < 0 ? -errno : 0;
}

int drop_limits(SandboxRole role)
{
    /* The number of processes is the user's, not the role's: started by a person, a limit for the keeper's
     * threads would count that person's browser. Its threads are bounded by seccomp, which allows nothing
     * else. */
    int r = role == SANDBOX_KEEPER || role == SANDBOX_ROTATE ? 0 : lower(RLIMIT_NPROC, 0);
    if (!r)
        r = lower(RLIMIT_NOFILE, role == SANDBOX_CLERK ? 4096 : 16384);
#ifdef PURSER_SANITIZED
    walled = 1;
#else
    if (!r)
        r = lower(RLIMIT_AS, role == SANDBOX_GATE ? 1024 * MiB : 4096 * MiB);
#endif
    return r;
}
