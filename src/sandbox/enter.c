/* The one way in. See sandbox.h. */
#include "sandbox/drop.h"
#include "sandbox/landlock.h"
#include "sandbox/syscalls.h"

#include <errno.h>

/* Read by getaddrinfo, by dlopen of name services, by OpenSSL and by libpq. The resolver's files in /etc are
 * replaced by rename, which a rule for a single file would not survive. */
static const char *const resolver_path[] = {"/etc",
                                            "/lib",
                                            "/lib64",
                                            "/usr/lib",
                                            "/usr/lib64",
                                            "/usr/local/lib",
                                            "/run/systemd/resolve",
                                            "/run/resolvconf",
                                            "/run/NetworkManager"};
/* SQLite's file names, and the local time of whoever asks for one. */
static const char *const any_path[] = {"/dev/urandom", "/dev/null", "/etc/localtime", "/usr/share/zoneinfo"};

static const char *const terminal_path[] = {"/dev/tty"}; /* what it is opens its own, /dev/pts/N */

static int allow_paths(const Landlock *landlock, const char *const *path, size_t n, unsigned access)
{
    for (size_t i = 0; i < n; i++) {
        int r = landlock_allow_path(landlock, path[i], access);
        if (r && r != -ENOENT && r != -ENOTDIR && r != -EACCES)
            return r;
    }
    return 0;
}

static int allow_ports(const Landlock *landlock, const SandboxSpec *spec)
{
    int r = landlock_allow_connect(landlock, 53);
    for (size_t i = 0; !r && i < spec->n_connect_port; i++)
        r = landlock_allow_connect(landlock, spec->connect_port[i]);
    return r;
}

static int enter_landlock(const SandboxSpec *spec)
{
    Landlock landlock;
    int r = landlock_begin(LANDLOCK_FILES | LANDLOCK_CONNECT | LANDLOCK_BIND | LANDLOCK_SCOPE, &landlock);
    if (r)
        return r;
    bool rotates = spec->role == SANDBOX_ROTATE;
    bool networked =
        spec->role == SANDBOX_KEEPER || rotates || (spec->role == SANDBOX_CLERK && spec->network);
    if (spec->role != SANDBOX_GATE)
        r = allow_paths(&landlock, any_path, COUNT_OF(any_path), LANDLOCK_READ);
    if (!r && networked)
        r = allow_paths(&landlock, resolver_path, COUNT_OF(resolver_path), LANDLOCK_READ);
    if (!r && spec->role != SANDBOX_GATE)
        r = allow_paths(&landlock, spec->read_path, spec->n_read_path, LANDLOCK_READ);
    if (!r && networked)
        r = allow_ports(&landlock, spec);
    if (!r && (spec->role == SANDBOX_CLERK || rotates))
        r = allow_paths(&landlock, spec->write_path, spec->n_write_path, LANDLOCK_READ | LANDLOCK_WRITE);
    if (!r && rotates)
        r = allow_paths(&landlock, terminal_path, COUNT_OF(terminal_path), LANDLOCK_READ | LANDLOCK_DEVICE);
    if (!r)
        r = landlock_enforce(&landlock);
    landlock_done(&landlock);
    return r;
}

typedef struct Step {
    const char *what, *cure;
    int result;
} Step;

static int judge(const Step *step, size_t n, bool optional, Fault *fault)
{
    for (size_t i = 0; i < n; i++)
        if (step[i].result < 0)
            return fault_set(
                fault, optional ? SANDBOX_E_PARTIAL : step[i].result,
                "%s cannot be set up: %s. %s; or allow it to be missing with `sandbox: {required: false}`.",
                step[i].what, strerror(-step[i].result), step[i].cure);
    return 0;
}

int sandbox_enter(const SandboxSpec *spec, Fault *fault)
{
    int r = sandbox_harden(fault);
    if (r || spec->role == SANDBOX_SUPERVISOR)
        return r;
    Step step[] = {
        {"The limits of processes, descriptors and memory", "Check `ulimit -a`", drop_limits(spec->role)},
        {"Landlock",
         "It needs a kernel of at least 5.13 with `landlock` among its lsm=", enter_landlock(spec)},
        {"Dropping capabilities", "Run purser with no_new_privs allowed", drop_capabilities(spec->role)},
        {"seccomp", "It needs a kernel with CONFIG_SECCOMP_FILTER", 0},
    };
    /* A wall that must stand is asked about before the last one goes up, while a sentence can still be said.
     */
    r = judge(step, COUNT_OF(step), spec->optional, fault);
    if (r < 0)
        return r;
    step[COUNT_OF(step) - 1].result = seccomp_enter(spec);
    return judge(step, COUNT_OF(step), spec->optional, fault);
}
