/* Runs a command as a pod does that passes the "restricted" Pod Security Standard: no root, no capability, no
 * new privileges, a read-only root file system with one volume, and a system call filter as container
 * runtimes have it by default. As root only.
 *
 *   in-a-pod [--no-landlock] [--root] [--memlock BYTES] VOLUME COMMAND...
 *
 * Or as one container of such a pod: a root file system of its own, put together from this machine's programs
 * (or, --bare, from nothing at all) and volumes; process 1 of its own; nothing of the caller's environment.
 * Signals go on to it, and its status is that of this program.
 *
 *   in-a-pod --container EMPTY-FOLDER [--bare] [--user N] [--mount FROM:TO[:ro]]... [--env NAME=VALUE]...
 * COMMAND...
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

/* --- a container --- */

#define MOST 32

typedef struct Container {
    const char *root;
    int bare;
    unsigned user;
    char *mount[MOST], *variable[MOST + 1];
    size_t n_mount, n_variable;
    char **command;
} Container;

static pid_t first; /* its process 1 */

static void pass_on(int number)
{
    kill(first, number);
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
}

/* FROM:TO[:ro], a folder or a file. */
static void put_in(const char *root, const char *from, const char *to, int read_only)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof(path), "%s%s", root, to);
    make_folders(path);
    check(stat(from, &status), from);
    if (S_ISDIR(status.st_mode))
        mkdir(path, 0755);
    else
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    check(mount(from, path, NULL, MS_BIND, NULL), path);
    if (read_only)
        check(mount("none", path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL), path);
}

static void put_in_programs(const char *root)
{
    static const char *const part[] = {
        "/usr", "/etc/ssl", "/etc/alternatives", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/hosts"};
    static const char *const link[] = {"/bin", "/sbin", "/lib", "/lib64", "/lib32"};
    char path[4096], target[256];
    for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
        if (access(part[i], F_OK) == 0)
            put_in(root, part[i], part[i], 1);
    for (size_t i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
        ssize_t n = readlink(link[i], target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        snprintf(path, sizeof(path), "%s%s", root, link[i]);
        if (n > 0)
            check(symlink(target, path), path);
    }
}

static void make_root(const Container *container)
{
    static const char *const device[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                         "/dev/urandom"};
    char path[4096];
    check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
    check(mount("tmpfs", container->root, "tmpfs", 0, "mode=755"), "tmpfs");
    if (!container->bare)
        put_in_programs(container->root);
    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++)
        put_in(container->root, device[i], device[i], 0);
    for (size_t i = 0; i < container->n_mount; i++) {
        char *from = strtok(container->mount[i], ":"), *to = strtok(NULL, ":"), *how = strtok(NULL, ":");
        put_in(container->root, from, to, how != NULL);
    }
    snprintf(path, sizeof(path), "%s/proc", container->root);
    mkdir(path, 0755);
    check(mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
    check(chdir(container->root), "chdir");
    check((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH), "umount");
    check(chdir("/"), "chdir");
    check(mount("none", "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "read-only root");
}

static void become(Container *container)
{
    check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
    make_root(container);
    drop(container->user);
    check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl"); /* a change of user takes it away */
    filter_calls(1);
    container->variable[container->n_variable++] = (char *)"KUBERNETES_SERVICE_HOST=10.0.0.1";
    execvpe(container->command[0], container->command, container->variable);
    check(-1, container->command[0]);
}

static int run_container(Container *container)
{
    int status = 0;
    sigset_t passed, before;
    sigemptyset(&passed);
    sigaddset(&passed, SIGTERM);
    sigaddset(&passed, SIGINT);
    sigprocmask(SIG_BLOCK, &passed, &before);
    check(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC), "unshare");
    check(first = fork(), "fork");
    if (first == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        become(container);
    }
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    sigprocmask(SIG_SETMASK, &before, NULL);
    while (waitpid(first, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int container_main(char **word)
{
    static Container container = {.user = USER};
    for (; *word && strncmp(*word, "--", 2) == 0; word++) {
        if (strcmp(*word, "--bare") == 0)
            container.bare = 1;
        else if (strcmp(*word, "--container") == 0)
            container.root = *++word;
        else if (strcmp(*word, "--user") == 0)
            container.user = (unsigned)strtoul(*++word, NULL, 10);
        else if (strcmp(*word, "--mount") == 0 && container.n_mount < MOST)
            container.mount[container.n_mount++] = *++word;
        else if (strcmp(*word, "--env") == 0 && container.n_variable < MOST - 1)
            container.variable[container.n_variable++] = *++word;
        else
            return 125;
    }
    container.command = word;
    return *word ? run_container(&container) : 125;
}

int main(int argc, char **argv)
{
    int landlock = 1, at = 1;
    unsigned user = USER;
    if (argc > 1 && strcmp(argv[1], "--container") == 0)
        return container_main(argv + 1);
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
