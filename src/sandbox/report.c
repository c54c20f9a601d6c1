/* What holds on this machine, each wall proven by a child that runs against it. See sandbox.h. */
#include "sandbox/drop.h"
#include "sandbox/landlock.h"
#include "sandbox/mount-ns.h"
#include "sandbox/probe.h"
#include "sandbox/report-place.h"
#include "sandbox/syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

const char *sandbox_state_text(SandboxState state)
{
    static const char *const text[] = {"holds", "weaker", "missing"};
    return text[state];
}

void sandbox_add(SandboxReport *report, const char *name, SandboxNeed need, SandboxState state,
                 const char *fmt, ...)
{
    if (report->n_finding == SANDBOX_MAX_FINDINGS)
        return;
    SandboxFinding *finding = &report->finding[report->n_finding++];
    finding->name = name;
    finding->need = need;
    finding->state = state;
    va_list args;
    va_start(args, fmt);
    vsnprintf(finding->sentence, sizeof(finding->sentence), fmt, args);
    va_end(args);
}

void kernel_text(const char *path, char *out, size_t size)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    out[n < 0 ? 0 : n] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

/* --- what is tried --- */

static int try_open(const void *context)
{
    return open(context, O_RDONLY | O_CLOEXEC) < 0 ? -errno : 0;
}

static int try_exec(const void *context)
{
    char *const none[] = {NULL};
    return execve(context, none, none) < 0 ? -errno : 0;
}

static int try_fork(const void *context)
{
    (void)context;
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -errno : 0;
}

static int try_ptrace(const void *context)
{
    (void)context;
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? -errno : 0;
}

static int try_connect(const void *context)
{
    (void)context;
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1)};
    nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (struct sockaddr *)&nobody, sizeof(nobody)) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static const struct sockaddr_un bus = {.sun_family = AF_UNIX, .sun_path = "/run/dbus/purser"};

static int try_bus(const void *context)
{
    (void)context;
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 || connect(fd, (const struct sockaddr *)&bus, sizeof(bus)) < 0 ? -errno : 0;
}

static int try_signal(const void *context)
{
    (void)context;
    return kill(getppid(), 0) < 0 ? -errno : 0;
}

static int try_unshare(const void *context)
{
    return unshare(*(const int *)context) < 0 ? -errno : 0;
}

/* As the keeper would: root itself may lock more than its limit says. */
static int try_lock(const void *context)
{
    size_t size = *(const size_t *)context;
    if (geteuid() == 0)
        (void)!become_somebody(NULL); /* where that may not be, change-users says so */
    void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return room == MAP_FAILED || mlock(room, size) < 0 ? -errno : 0;
}

static int try_secret_memory(const void *context)
{
    (void)context;
    return syscall(447 /* memfd_secret; newer than the headers */, O_CLOEXEC) < 0 ? -errno : 0;
}

static int try_abort(const void *context)
{
    (void)context;
    abort();
}

/* Another process of the same user, without privileges, asks for this one's memory. */
static int try_read_parent(const void *context)
{
    (void)context;
    char path[48];
    snprintf(path, sizeof(path), "/proc/%ld/mem", (long)getpid());
    pid_t pid = fork();
    if (pid == 0)
        _exit(drop_capabilities(SANDBOX_GATE) ? 1 : open(path, O_RDONLY | O_CLOEXEC) < 0 ? errno : 0);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -errno;
    return -WEXITSTATUS(status);
}

/* --- walls --- */

static int wall_harden(const void *context)
{
    (void)context;
    return sandbox_harden(NULL);
}

typedef struct ScriptWall {
    int (*enter)(void);
} ScriptWall;

/* A machine whose calls the filter does not know has none. */
static int wall_script(const void *context)
{
    const ScriptWall *wall = context;
    int r = sandbox_harden(NULL);
    if (!r && wall->enter)
        r = wall->enter();
    return r == -EOPNOTSUPP ? 0 : r;
}

/* That wall alone, whatever the others are here. */
static int wall_seccomp(const void *role)
{
    int r = sandbox_harden(NULL);
    return r ? r : seccomp_enter(role);
}

static int wall_landlock(const void *context)
{
    Landlock landlock;
    int r = sandbox_harden(NULL);
    if (!r)
        r = landlock_begin(*(const unsigned *)context, &landlock);
    if (r)
        return r;
    r = landlock_enforce(&landlock);
    landlock_done(&landlock);
    return r;
}

/* A /run of this child's own, in which somebody listens; then what each run does. */
static int wall_mounts(const void *context)
{
    const char *what;
    (void)context;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("purser", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") < 0 ||
        mkdir("/run/dbus", 0755) < 0)
        return -errno;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* ends with the child */
    if (fd < 0 || bind(fd, (const struct sockaddr *)&bus, sizeof(bus)) < 0 || listen(fd, 1) < 0)
        return -errno;
    int r = try_bus(NULL);
    return r ? r : mount_ns_enter(0, &what);
}

/* --- findings --- */

/* Each role's list goes up here, and kills whoever tries to start a program. */
static bool each_role_is_walled(const char **ret_which)
{
    static const struct {
        const char *name;
        SandboxSpec spec;
    } role[] = {{"gate", {.role = SANDBOX_GATE}},
                {"keeper", {.role = SANDBOX_KEEPER}},
                {"clerk", {.role = SANDBOX_CLERK, .network = true}}};
    for (size_t i = 0; i < COUNT_OF(role); i++) {
        *ret_which = role[i].name;
        if (probe_run(wall_seccomp, &role[i].spec, try_exec, "/bin/true").end != PROBE_KILLED)
            return false;
    }
    return true;
}

static void report_seccomp(SandboxReport *report)
{
    const SandboxSpec gate = {.role = SANDBOX_GATE};
    const char *which = "";
    static const struct {
        const char *what;
        ProbeStep *attempt;
        const char *context;
    } attempt[] = {{"open a file", try_open, "/proc/self/exe"},
                   {"make a socket", try_connect, NULL},
                   {"start a program", try_exec, "/bin/true"},
                   {"fork", try_fork, NULL},
                   {"trace", try_ptrace, NULL}};
    if (!seccomp_built) {
        sandbox_add(
            report, "seccomp", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_MISSING,
            "This build has no system call lists, because it is a sanitized one; do not keep tokens with "
            "it.");
        return;
    }
    if (!each_role_is_walled(&which)) {
        sandbox_add(
            report, "seccomp", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_MISSING,
            "A %s that tried to start a program was not killed; roles will not start without `sandbox: "
            "{required: false}`. The kernel needs CONFIG_SECCOMP_FILTER, and the place must allow "
            "seccomp(2).",
            which);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(attempt); i++) {
        ProbeResult result = probe_run(wall_seccomp, &gate, attempt[i].attempt, attempt[i].context);
        if (result.end == PROBE_KILLED)
            continue;
        sandbox_add(
            report, "seccomp", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_MISSING,
            "A gate that tried to %s was not killed (%s); roles will not start without `sandbox: {required: "
            "false}`.",
            attempt[i].what, result.end == PROBE_DONE ? "it was allowed to" : strerror(result.error));
        return;
    }
    sandbox_add(report, "seccomp", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_HOLDS,
                "A gate that tries to open a file, make a socket, start a program, fork or trace is killed; "
                "so is any role that "
                "starts a program.");
}

static bool refused(unsigned wall, ProbeStep *attempt, const void *context, int error)
{
    ProbeResult result = probe_run(wall_landlock, &wall, attempt, context);
    return result.end == PROBE_REFUSED && result.error == error;
}

static void report_landlock(SandboxReport *report)
{
    int abi = landlock_abi();
    if (refused(LANDLOCK_FILES, try_open, "/proc/self/exe", EACCES))
        sandbox_add(report, "landlock-files", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_HOLDS,
                    "Landlock (version %d) keeps roles and scripts to their own files.", abi);
    else
        sandbox_add(
            report, "landlock-files", SANDBOX_NEEDED_IF_REQUIRED, SANDBOX_MISSING,
            "This kernel does not limit files by Landlock; it needs 5.13 or later with `landlock` in its "
            "lsm= list.");
    if (refused(LANDLOCK_CONNECT, try_connect, NULL, EACCES))
        sandbox_add(
            report, "landlock-connect", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
            "Landlock keeps a script's TCP connections to its run's gate, and the keeper's to the configured "
            "ports.");
    else
        sandbox_add(
            report, "landlock-connect", SANDBOX_NOT_NEEDED, SANDBOX_MISSING,
            "This kernel does not limit TCP connections by Landlock (6.7 or later does); started by a "
            "person, nothing but "
            "the proxy variables leads a script's connections to its gate.");
    if (refused(LANDLOCK_SCOPE, try_signal, NULL, EPERM))
        sandbox_add(report, "landlock-scope", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
                    "Landlock keeps a script from signalling processes that are not its own.");
    else
        sandbox_add(
            report, "landlock-scope", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
            "This kernel does not limit signals by Landlock (6.12 or later does); a script with purser's own "
            "user id could "
            "end purser's processes.");
}

/* /proc/swaps has a heading, and a line for each area, which begins with its path. */
static bool swap_is_on(void)
{
    char text[512];
    CLEANUP_FD int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    return strstr(text, "\n/") != NULL;
}

static void report_memory(SandboxReport *report)
{
    size_t arena = 512u << 10; /* the keeper's */
    if (probe_run(NULL, NULL, try_secret_memory, NULL).end == PROBE_DONE)
        sandbox_add(report, "secret-memory", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
                    "Keys lie in memory that even the kernel does not map (memfd_secret).");
    else
        sandbox_add(
            report, "secret-memory", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
            "This kernel has no memfd_secret (5.14 or later, secretmem.enable=1): keys lie in locked, "
            "undumped memory.");
    if (probe_run(NULL, NULL, try_lock, &arena).end == PROBE_DONE)
        sandbox_add(report, "locked-memory", SANDBOX_NEEDED, SANDBOX_HOLDS,
                    "Memory can be locked, so keys are never swapped.");
    else
        sandbox_add(report, "locked-memory", SANDBOX_NEEDED, SANDBOX_MISSING,
                    "Memory cannot be locked; raise the limit (ulimit -l, LimitMEMLOCK=).");
    bool active = swap_is_on();
    sandbox_add(report, "swap", SANDBOX_NOT_NEEDED, active ? SANDBOX_WEAKER : SANDBOX_HOLDS,
                active ? "Swap is on: keys are locked against it, but what a script holds may be swapped."
                       : "No swap is in use.");
}

static void report_processes(SandboxReport *report)
{
    char text[160];
    ProbeResult result = probe_run(wall_harden, NULL, try_abort, NULL);
    kernel_text("/proc/sys/kernel/core_pattern", text, sizeof(text));
    bool dumped = !WIFSIGNALED(result.wait_status) || WCOREDUMP(result.wait_status);
    sandbox_add(report, "core-dumps", SANDBOX_NEEDED, dumped ? SANDBOX_MISSING : SANDBOX_HOLDS,
                dumped ? "A role that crashed left a core dump (core_pattern is \"%s\")."
                       : "A role that crashes leaves no core dump (core_pattern is \"%s\").",
                text);
    result = probe_run(wall_harden, NULL, try_read_parent, NULL);
    kernel_text("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));
    if (result.end == PROBE_REFUSED)
        sandbox_add(
            report, "memory-of-others", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
            "A process of the same user cannot read a role's memory or trace it (Yama's ptrace_scope is %s).",
            *text ? text : "not in this kernel");
    else
        sandbox_add(report, "memory-of-others", SANDBOX_NOT_NEEDED, SANDBOX_MISSING,
                    "A process of the same user can read a role's memory.");
}

/* A run without a network of its own has no mounts of its own either. */
static void report_sockets(bool has_own_network, SandboxReport *report)
{
    ProbeResult result = {.error = EPERM};
    if (has_own_network)
        result = probe_run(wall_mounts, NULL, try_bus, NULL);
    if (result.end == PROBE_REFUSED)
        sandbox_add(
            report, "service-sockets", SANDBOX_NEEDED, SANDBOX_HOLDS,
            "The sockets of this machine's services (resolver, buses) are covered in each run's own mounts.");
    else if (geteuid() == 0)
        sandbox_add(
            report, "service-sockets", SANDBOX_NEEDED, SANDBOX_MISSING,
            "Started as root, purser covers the sockets of this machine's services (resolver, buses) "
            "in each run, and may not do that here (%s): leave it the capability SYS_ADMIN and mount(2), or "
            "run it as another user (runAsUser).",
            strerror(result.error));
    else
        sandbox_add(
            report, "service-sockets", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
            "Scripts can connect to the sockets of this machine's services (resolver, buses) and of this "
            "person's session: only root can cover them.");
}

static void report_users(int (*script_wall)(void), SandboxReport *report)
{
    const ScriptWall wall = {script_wall};
    int user = CLONE_NEWUSER, network = CLONE_NEWNET;
    bool root = geteuid() == 0;
    if (root)
        sandbox_add(report, "own-users", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
                    "Started as root: each role and each retriever has a user id of its own. Root itself is "
                    "trusted.");
    else
        sandbox_add(
            report, "own-users", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
            "Started by a person: scripts run with that person's user id, and Landlock alone keeps them from "
            "purser's "
            "folders. Start purser as root to give every retriever a user id of its own.");
    bool isolates = probe_run(NULL, NULL, try_unshare, &network).end == PROBE_DONE;
    if (root && isolates)
        sandbox_add(report, "network-namespaces", SANDBOX_NEEDED, SANDBOX_HOLDS,
                    "Each run has a network of its own, with nothing in it but its gate.");
    else if (root)
        sandbox_add(report, "network-namespaces", SANDBOX_NEEDED, SANDBOX_MISSING,
                    "Started as root, purser gives each run a network of its own, and may not do that here: "
                    "leave it the "
                    "capability SYS_ADMIN, or run it as another user (runAsUser).");
    else
        sandbox_add(
            report, "network-namespaces", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
            "Runs share the machine's network (only root can give each its own): UDP is not limited, TCP as "
            "landlock-connect says.");
    report_sockets(root && isolates, report);
    bool namespaces = probe_run(wall_script, &wall, try_unshare, &user).end == PROBE_DONE;
    sandbox_add(report, "user-namespaces", SANDBOX_NOT_NEEDED, namespaces ? SANDBOX_WEAKER : SANDBOX_HOLDS,
                namespaces ? "Scripts may make user namespaces, which opens more of the kernel to them."
                           : "Scripts cannot make user namespaces.");
}

int sandbox_report(int (*script_wall)(void), SandboxReport *ret_report)
{
    SandboxReport report = {.n_finding = 0};
    report_seccomp(&report);
    report_landlock(&report);
    report_memory(&report);
    report_processes(&report);
    report_users(script_wall, &report);
    report_place(&report);
    *ret_report = report;
    return 0;
}
