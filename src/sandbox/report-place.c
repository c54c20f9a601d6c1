/* A pod, a container, a service, a login: what is different there. See report-place.h. */
#include "sandbox/report-place.h"

#include "base/text.h"
#include "sandbox/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#define SOMEBODY        65534 /* a user that is not root, for the attempt alone */
#define FEW_DESCRIPTORS 5120  /* with fewer the keeper takes fewer connections at a time */
#define FEW_PROCESSES   64
#define LITTLE_MEMORY   (64ull << 20)

/* The value behind a name in /proc/self/status, as text; "" when it is not there. */
static void status_value(const char *name, char *out, size_t size)
{
    char line[256];
    size_t len = strlen(name);
    FILE *status = fopen("/proc/self/status", "re");
    out[0] = '\0';
    while (status && fgets(line, sizeof(line), status)) {
        if (strncmp(line, name, len) != 0 || line[len] != ':')
            continue;
        snprintf(out, size, "%.60s", line + len + 1 + strspn(line + len + 1, "\t "));
        out[strcspn(out, "\n")] = '\0';
    }
    if (status)
        fclose(status);
}

/* How it is called, or NULL. */
static const char *container(void)
{
    if (getenv("KUBERNETES_SERVICE_HOST"))
        return "a pod";
    if (access("/run/.containerenv", F_OK) == 0 || access("/.dockerenv", F_OK) == 0 || getenv("container"))
        return "a container";
    return NULL;
}

/* Filters add up: one of the place's own stays around all that purser starts. */
static void report_outer_filter(SandboxReport *report)
{
    char mode[64];
    const char *where = container();
    status_value("Seccomp", mode, sizeof(mode));
    if (strcmp(mode, "2") == 0)
        sandbox_add(report, "outer-seccomp", SANDBOX_NOT_NEEDED, SANDBOX_HOLDS,
                    "purser itself is already under a system call filter of %s.",
                    where ? where : "whoever started it");
    else if (where)
        sandbox_add(report, "outer-seccomp", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
                    "purser runs in %s without a system call filter of that; set seccompProfile: {type: "
                    "RuntimeDefault}.",
                    where);
}

int become_somebody(const void *context)
{
    (void)context;
    if (setgroups(0, NULL) < 0 || setresgid(SOMEBODY, SOMEBODY, SOMEBODY) < 0 ||
        setresuid(SOMEBODY, SOMEBODY, SOMEBODY) < 0)
        return -errno;
    return 0;
}

/* Root in a container is often root by name alone. */
static void report_root(SandboxReport *report)
{
    if (geteuid() != 0)
        return;
    ProbeResult result = probe_run(NULL, NULL, become_somebody, NULL);
    if (result.end == PROBE_DONE)
        return;
    sandbox_add(
        report, "change-users", SANDBOX_NEEDED, SANDBOX_MISSING,
        "Started as root, purser gives each role and script a user id of its own, and may not do that here "
        "(%s): run it as another user (runAsUser), or leave it the capabilities SETUID, SETGID, CHOWN, KILL "
        "and SYS_ADMIN.",
        strerror(result.error));
}

static void report_root_files(SandboxReport *report)
{
    struct statvfs root;
    const char *where = container();
    if (!where || statvfs("/", &root) < 0)
        return;
    bool closed = (root.f_flag & ST_RDONLY) != 0;
    sandbox_add(report, "read-only-root", SANDBOX_NOT_NEEDED, closed ? SANDBOX_HOLDS : SANDBOX_WEAKER,
                closed ? "The root file system is read-only."
                       : "The root file system of %s can be written; set readOnlyRootFilesystem: true, with "
                         "a volume for "
                         "purser's state.",
                where);
}

static void report_descriptors(SandboxReport *report)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    bool few = limit.rlim_max < FEW_DESCRIPTORS;
    sandbox_add(
        report, "descriptors", SANDBOX_NOT_NEEDED, few ? SANDBOX_WEAKER : SANDBOX_HOLDS,
        few ? "A process may have %llu open files, so fewer connections are made at a time; raise the limit "
              "(ulimit -Hn, LimitNOFILE=) to 8192."
            : "A process may have %llu open files.",
        (unsigned long long)limit.rlim_max);
}

/* What a control group leaves; 0: no limit that could be seen. */
static uint64_t group_limit(const char *file)
{
    char text[64];
    uint64_t value = 0;
    kernel_text(file, text, sizeof(text));
    return text_parse_u64(slice_of(text), UINT64_MAX, &value) ? 0 : value;
}

static void report_group(SandboxReport *report)
{
    uint64_t memory = group_limit("/sys/fs/cgroup/memory.max"),
             processes = group_limit("/sys/fs/cgroup/pids.max");
    char size[24];
    if (memory)
        sandbox_add(report, "memory-limit", SANDBOX_NOT_NEEDED,
                    memory < LITTLE_MEMORY ? SANDBOX_WEAKER : SANDBOX_HOLDS,
                    "Its control group has %s of memory for purser and all scripts together%s.",
                    text_human_size(size, memory),
                    memory < LITTLE_MEMORY ? ", which is little; raise it" : "");
    if (processes && processes < FEW_PROCESSES)
        sandbox_add(report, "process-limit", SANDBOX_NOT_NEEDED, SANDBOX_WEAKER,
                    "Its control group has %llu processes for purser and all scripts together, which is few.",
                    (unsigned long long)processes);
}

/* The end of a script's whole process tree is found in /proc, and the memory for keys is verified there. */
static void report_proc(SandboxReport *report)
{
    char name[64];
    status_value("Name", name, sizeof(name));
    if (!*name)
        sandbox_add(
            report, "proc", SANDBOX_NEEDED, SANDBOX_MISSING,
            "/proc cannot be read, so that the end of a script's processes cannot be seen; mount it.");
}

void report_place(SandboxReport *report)
{
    report_outer_filter(report);
    report_root(report);
    report_root_files(report);
    report_descriptors(report);
    report_group(report);
    report_proc(report);
}
