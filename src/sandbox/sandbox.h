/* The walls around each role: what it may still do once it has been told everything.
 *
 * A role calls sandbox_harden() as the first line of main(), takes its set-up records, opens what has to be
 * opened, and calls sandbox_enter() before it reads its first foreign byte. Both while it has one thread
 * only. Afterwards:
 *
 *            opens files                 sockets                            processes, threads
 *   gate     none, names none            accepts; makes none but pairs      none
 *   keeper   reads /etc, the system's    TCP and UDP; TCP connects to the   threads (libcurl's resolver)
 *            libraries, read_path        listed ports where Landlock can
 *   clerk    write_path is read,         none; when `network` as the        none
 *            written, removed; when      keeper; when `unix_socket`
 *            `network` as the keeper     unix sockets too
 *
 *   rotate   write_path is read,         as the keeper                      threads; waits for the child that
 * it written, removed;                                              made before (the user's command)
 *            read_path, /dev/tty
 *
 * As root, rotate keeps the capabilities by which a file's owner stays as it was (CHOWN, DAC_OVERRIDE,
 * FOWNER).
 *
 * nobody executes, forks, traces, changes its user, mounts, or has a capability. A call that is not in the
 * role's list (syscalls.c) ends the process with SIGSYS. To learn which one it was: `meson setup
 * -Dseccomp_trap=true`, then the role says "purser-gate: forbidden system call: openat (257)" on standard
 * error and ends with status 159 instead.
 *
 * Known to be refused with an errno rather than by death, because libraries try them and can do without:
 * clone3 (ENOSYS), sockets of other families (EAFNOSUPPORT: nscd, netlink), ioctl of terminals (ENOTTY),
 * naming memory (EPERM), and in the keeper F_SETFL (EPERM: libcurl).
 *
 * SQLite: temp_store must be MEMORY; its journal lies in write_path. RLIMIT_FSIZE is left alone, since
 * standard error may be a file. The resolver's files in /etc are replaced by rename, which a rule for a
 * single file would not survive; therefore all of /etc that the role's user may read is readable to the
 * keeper and to a clerk with a server.
 *
 * In a sanitized build seccomp and the limit of address space are left out (the sanitizers' runtimes need
 * what they forbid): the rest holds, and sandbox_report() says so.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

typedef enum SandboxRole {
    SANDBOX_SUPERVISOR,
    SANDBOX_GATE,
    SANDBOX_KEEPER,
    SANDBOX_CLERK,
    SANDBOX_ROTATE,
} SandboxRole;

typedef struct SandboxSpec {
    SandboxRole role;
    bool optional;    /* `sandbox: {required: false}`: what cannot be set up is left out */
    bool network;     /* clerk: it has a server to talk to; the keeper always has */
    bool unix_socket; /* and that may be at a unix socket */
    /* TCP ports that may be connected to (keeper, clerk, rotate). 53 is always among the keeper's and a
     * networking clerk's. */
    const uint16_t *connect_port;
    size_t n_connect_port;
    /* Files, or folders with what is beneath, beyond those above. What does not exist is passed over. */
    const char *const *read_path;
    size_t n_read_path;
    const char *const *write_path; /* folders; clerk and rotate */
    size_t n_write_path;
} SandboxSpec;

typedef enum SandboxAnswer {
    SANDBOX_E_PARTIAL =
        1, /* only when `optional`: something is missing; the sentence says what. Warn and go on. */
} SandboxAnswer;

/* Not dumpable, no core, no new privileges; before anything else, in every role and in the supervisor. */
int sandbox_harden(Fault *fault) MUST_USE;

/* 0; SANDBOX_E_PARTIAL; or -errno with a sentence, after which the role must end. There is no way back. For
 * SANDBOX_SUPERVISOR this is sandbox_harden() alone: it starts the others, and what it set would be theirs
 * too. */
int sandbox_enter(const SandboxSpec *spec, Fault *fault) MUST_USE;

typedef enum SandboxState { SANDBOX_HOLDS, SANDBOX_WEAKER, SANDBOX_MISSING } SandboxState;

/* Whether purser works without it. */
typedef enum SandboxNeed {
    SANDBOX_NOT_NEEDED,
    SANDBOX_NEEDED_IF_REQUIRED, /* not with `sandbox: {required: false}` */
    SANDBOX_NEEDED,
} SandboxNeed;

typedef struct SandboxFinding {
    const char *name; /* "seccomp", "landlock-files", ...: stable, for --json */
    SandboxNeed need;
    SandboxState state; /* WEAKER: works, but less than purser would use; MISSING: does not work here */
    char sentence[320]; /* what holds, or what does not and what to do */
} SandboxFinding;

#define SANDBOX_MAX_FINDINGS 28

typedef struct SandboxReport {
    SandboxFinding finding[SANDBOX_MAX_FINDINGS];
    size_t n_finding;
} SandboxReport;

const char *sandbox_state_text(SandboxState state); /* "holds", "weaker", "missing" */

/* One more. */
void sandbox_add(SandboxReport *report, const char *name, SandboxNeed need, SandboxState state,
                 const char *fmt, ...) FORMAT(5, 6);

/* What holds on this machine, for `purser doctor`: each proven by a child process that goes through the wall
 * and tries what it forbids. Takes well under a second; has forked and reaped children when it returns.
 * `script_wall`: the filter of the runner's scripts, which is not known here; NULL: they have none. */
int sandbox_report(int (*script_wall)(void), SandboxReport *ret_report) MUST_USE;
