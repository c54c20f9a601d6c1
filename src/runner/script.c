/* Starting the script. See script.h. */
#include "runner/script.h"

#include "base/io.h"
#include "runner/filter.h"
#include "runner/tree.h"
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What any program needs of a system. Not /home, /root, /var, /run, /srv, /tmp: purser's folders lie in some
 * of them, and Landlock cannot except a folder beneath an allowed one. */
static const char *const system_read[] = {"/usr",
                                          "/bin",
                                          "/sbin",
                                          "/lib",
                                          "/lib32",
                                          "/lib64",
                                          "/etc",
                                          "/opt",
                                          "/nix",
                                          "/proc",
                                          "/sys/devices/system/cpu",
                                          "/sys/fs/cgroup",
                                          "/run/systemd/resolve"};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

/* What the child tells about its failure, in one write; the pipe closes unwritten when execve succeeds. */
typedef struct Failure {
    int error;
    char step[48];
} Failure;

static NORETURN void fail(int tell, const char *step, int error)
{
    Failure failure = {.error = error};
    snprintf(failure.step, sizeof(failure.step), "%s", step);
    int ignored = io_write_all(tell, &failure, sizeof(failure));
    _exit(ignored ? 126 : 127);
}

static int limit(__rlimit_resource_t which, uint64_t most)
{
    struct rlimit now;
    if (getrlimit(which, &now) < 0)
        return -errno;
    if (now.rlim_max > most)
        now.rlim_max = most;
    now.rlim_cur = now.rlim_max;
    return setrlimit(which, &now) < 0 ? -errno : 0;
}

static int set_limits(const ScriptSpec *spec)
{
    int r = limit(RLIMIT_CORE, 0);
    if (!r)
        r = limit(RLIMIT_NOFILE, 4096);
    if (!r && spec->memory)
        r = limit(RLIMIT_AS, spec->memory);
    if (!r && spec->file_bytes)
        r = limit(RLIMIT_FSIZE, spec->file_bytes);
    /* The kernel counts all that the user has, a person's browser too. */
    if (!r && spec->processes)
        r = limit(RLIMIT_NPROC, spec->processes + tree_threads_of_user());
    return r;
}

static int allow_each(const Landlock *landlock, const char *const *path, size_t n, unsigned access)
{
    for (size_t i = 0; i < n; i++) {
        int r = landlock_allow_path(landlock, path[i], access);
        if (r && r != -ENOENT && r != -ENOTDIR && r != -EACCES)
            return r;
    }
    return 0;
}

/* The program itself, wherever it lies; of an interpreter (a person's own Python) also its libraries. */
static int allow_program(const Landlock *landlock, const char *program)
{
    char real[PATH_MAX], folder[PATH_MAX + 8];
    if (!strchr(program, '/') || !realpath(program, real))
        return 0;
    int r = landlock_allow_path(landlock, real, LANDLOCK_READ | LANDLOCK_EXECUTE);
    const char *base = strrchr(real, '/') + 1;
    if (r || strncmp(base, "python", 6) != 0)
        return r;
    snprintf(folder, sizeof(folder), "%s", real);
    char *prefix = dirname(dirname(folder));
    size_t len = strlen(prefix);
    memmove(folder, prefix, len);
    memcpy(folder + len, "/lib", 5);
    r = landlock_allow_path(landlock, folder, LANDLOCK_READ | LANDLOCK_EXECUTE);
    return r == -ENOENT ? 0 : r;
}

/* The environment that an interpreter lies in (BIN/../pyvenv.cfg), whose own path leads out of it. */
static int allow_environment(const Landlock *landlock, const char *program)
{
    char folder[PATH_MAX], mark[PATH_MAX + 16];
    if (program[0] != '/' || snprintf(folder, sizeof(folder), "%s", program) >= (int)sizeof(folder))
        return 0;
    const char *prefix = dirname(dirname(folder));
    snprintf(mark, sizeof(mark), "%s/pyvenv.cfg", prefix);
    return access(mark, R_OK) == 0 ? landlock_allow_path(landlock, prefix, LANDLOCK_READ | LANDLOCK_EXECUTE)
                                   : 0;
}

/* The files that its command names: [python3, /home/me/collect.py]. No folders: purser's own may lie in one.
 */
static int allow_words(const Landlock *landlock, const char *const *argv)
{
    int r = allow_environment(landlock, argv[0]);
    for (size_t i = 1; !r && argv[i]; i++) {
        struct stat status;
        if (argv[i][0] == '/' && stat(argv[i], &status) == 0 && S_ISREG(status.st_mode))
            r = landlock_allow_path(landlock, argv[i], LANDLOCK_READ | LANDLOCK_EXECUTE);
    }
    return r;
}

static int allow_files(const Landlock *landlock, const ScriptSpec *spec)
{
    const char *const shared = "/dev/shm";
    int r = allow_each(landlock, system_read, COUNT_OF(system_read), LANDLOCK_READ | LANDLOCK_EXECUTE);
    if (!r)
        r = allow_each(landlock, devices, COUNT_OF(devices), LANDLOCK_READ | LANDLOCK_DEVICE);
    if (!r)
        r = allow_each(landlock, &shared, 1, LANDLOCK_READ | LANDLOCK_WRITE);
    if (!r)
        r = allow_each(landlock, spec->read, spec->n_read, LANDLOCK_READ | LANDLOCK_EXECUTE);
    if (!r)
        r = allow_each(landlock, spec->write, spec->n_write,
                       LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_EXECUTE);
    if (!r)
        r = allow_words(landlock, spec->argv);
    return r ? r : allow_program(landlock, spec->argv[0]);
}

static int raise_walls(const ScriptSpec *spec)
{
    unsigned walls =
        LANDLOCK_SCOPE | (spec->port ? LANDLOCK_CONNECT : 0u) | (spec->limit_files ? LANDLOCK_FILES : 0u);
    Landlock landlock;
    int r = landlock_begin(walls, &landlock);
    /* TCP and signals need a newer kernel than Debian 12's; doctor says where they are missing. Files must
     * hold. */
    if (r == -EOPNOTSUPP && !spec->limit_files)
        return 0;
    if (r)
        return r;
    if (spec->port)
        r = landlock_allow_connect(&landlock, spec->port);
    if (!r && spec->limit_files)
        r = allow_files(&landlock, spec);
    if (!r)
        r = landlock_enforce(&landlock);
    landlock_done(&landlock);
    return r;
}

static NORETURN void become_script(const ScriptSpec *spec, int out, int err, int tell, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), r;
    /* Above everything that is fixed, so that no dup2 closes what another needs. */
    int high[4] = {fcntl(null, F_DUPFD_CLOEXEC, 16), fcntl(out, F_DUPFD_CLOEXEC, 16),
                   fcntl(err, F_DUPFD_CLOEXEC, 16), fcntl(tell, F_DUPFD_CLOEXEC, 16)};
    if (high[0] < 0 || dup2(high[0], 0) < 0 || dup2(high[1], 1) < 0 || dup2(high[2], 2) < 0 ||
        dup3(high[3], 3, O_CLOEXEC) < 0)
        fail(tell, "arrange its descriptors", errno);
    tell = 3;
    if (syscall(SYS_close_range, 4, ~0U, 0) < 0)
        fail(tell, "close other descriptors", errno);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    setsid();
    umask(spec->umask);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    if (chdir(spec->directory) < 0)
        fail(tell, "enter its folder", errno);
    if ((r = set_limits(spec)))
        fail(tell, "set its limits", -r);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(tell, "set no_new_privs", errno);
    if ((r = raise_walls(spec)) && !spec->walls_optional)
        fail(tell, "limit it by Landlock", -r);
    if ((r = filter_enter()) && r != -EOPNOTSUPP && !spec->walls_optional)
        fail(tell, "limit it by seccomp", -r);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = (char **)spec->envp;
    execvp(spec->argv[0], (char *const *)spec->argv);
    fail(tell, "execute it", errno);
}

static int take_stream(int *fd, OutputStream *ret_stream)
{
    int r = io_set_nonblocking(*fd);
    ret_stream->len = 0;
    ret_stream->cut = ret_stream->after_return = false;
    ret_stream->fd = fd_steal(fd);
    return r;
}

int script_start(const ScriptSpec *spec, Script *ret_script, Fault *fault)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1}, tell[2] = {-1, -1};
    Failure failure;
    int r = 0;
    pid_t self = getpid();
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(tell, O_CLOEXEC) < 0 ||
        (ret_script->pid = fork()) < 0)
        r = fault_set(fault, -errno, "Cannot start %s: %s.", spec->argv[0], strerror(errno));
    else if (ret_script->pid == 0)
        become_script(spec, out[1], err[1], tell[1], self);
    fd_close(&out[1]);
    fd_close(&err[1]);
    fd_close(&tell[1]);
    if (!r && read(tell[0], &failure, sizeof(failure)) == (ssize_t)sizeof(failure))
        r = fault_set(fault, -failure.error, "Cannot start %s: cannot %.48s: %s.", spec->argv[0],
                      failure.step, strerror(failure.error));
    if (!r)
        r = take_stream(&out[0], &ret_script->out);
    if (!r)
        r = take_stream(&err[0], &ret_script->err);
    fd_close(&tell[0]);
    fd_close(&out[0]);
    fd_close(&err[0]);
    return r;
}
