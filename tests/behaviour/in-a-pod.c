/* Runs a command as a pod does that passes the "restricted" Pod Security Standard: no root, no capability, no
 * new privileges, a read-only root file system with one volume, and a system call filter as container
 * runtimes have it by default. As root only.
 *
 *   in-a-pod [--no-landlock] [--root] [--memlock BYTES] VOLUME COMMAND...
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define USER 12345

static void check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "in-a-pod: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void refuse(scmp_filter_ctx filter, int number, int error)
{
    check(seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), number, 0), "seccomp");
}

/* What runtimes refuse to a container without capabilities. */
static void filter_calls(int landlock)
{
    static const int refused[] = {SCMP_SYS(mount),
                                  SCMP_SYS(umount2),
                                  SCMP_SYS(pivot_root),
                                  SCMP_SYS(unshare),
                                  SCMP_SYS(setns),
                                  SCMP_SYS(bpf),
                                  SCMP_SYS(perf_event_open),
                                  SCMP_SYS(keyctl),
                                  SCMP_SYS(add_key),
                                  SCMP_SYS(request_key),
                                  SCMP_SYS(userfaultfd),
                                  SCMP_SYS(io_uring_setup),
                                  SCMP_SYS(io_uring_enter),
                                  SCMP_SYS(init_module),
                                  SCMP_SYS(finit_module),
                                  SCMP_SYS(kexec_load),
                                  SCMP_SYS(open_by_handle_at),
                                  SCMP_SYS(fsopen),
                                  SCMP_SYS(move_mount),
                                  SCMP_SYS(swapon),
                                  SCMP_SYS(acct),
                                  SCMP_SYS(quotactl),
                                  SCMP_SYS(syslog),
                                  SCMP_SYS(chroot)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        refuse(filter, refused[i], EPERM);
    refuse(filter, SCMP_SYS(clone3), ENOSYS);
    static const unsigned long namespaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                               CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i])),
              "seccomp");
    if (!landlock) { /* a runtime, or a kernel, that is older */
        refuse(filter, SCMP_SYS(landlock_create_ruleset), ENOSYS);
        refuse(filter, SCMP_SYS(landlock_add_rule), ENOSYS);
        refuse(filter, SCMP_SYS(landlock_restrict_self), ENOSYS);
    }
    check(seccomp_load(filter), "seccomp");
}

static void close_files(const char *volume)
{
    check(unshare(CLONE_NEWNS), "unshare");
    check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
    check(mount(volume, volume, NULL, MS_BIND | MS_REC, NULL), volume);
    check(mount("none", "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "read-only root");
}

static void drop(unsigned user)
{
    for (int capability = 0; capability < 64; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    check(setgroups(0, NULL), "setgroups");
    check(setresgid(user, user, user), "setresgid");
    check(setresuid(user, user, user), "setresuid");
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

int main(int argc, char **argv)
{
    int landlock = 1, at = 1;
    unsigned user = USER;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--no-landlock") == 0) {
            landlock = 0;
        } else if (strcmp(argv[at], "--root") == 0) {
            user = 0; /* by name alone: the capabilities go with the next program */
        } else {
            struct rlimit limit = {strtoul(argv[at + 1], NULL, 10), strtoul(argv[at + 1], NULL, 10)};
            check(setrlimit(RLIMIT_MEMLOCK, &limit), "memlock");
            at++;
        }
    }
    if (argc < at + 2)
        return 125;
    close_files(argv[at]);
    drop(user);
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    filter_calls(landlock);
    execvp(argv[at + 1], argv + at + 1);
    check(-1, argv[at + 1]);
    return 125;
}
