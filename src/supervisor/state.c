/* The state folder: making, locking, closing. See state.h. */
#include "supervisor/state.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* mkdir -p; what is made is 0711 for root (other users pass through to their run's folder), else 0700. */
static int make_folders(const char *path)
{
    CLEANUP_MEM char *copy = mem_strdup(path);
    mode_t mode = geteuid() == 0 ? 0711 : 0700;
    for (char *at = copy + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_folder(int dir_fd, const char *name, mode_t mode)
{
    if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* As root the retrievers are other users: each folder above theirs must let them pass. */
static int check_reachable(const char *path, Fault *fault)
{
    if (geteuid() != 0)
        return 0;
    CLEANUP_MEM char *copy = mem_strdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char saved = *at;
        struct stat status;
        *at = '\0';
        if (stat(copy, &status) < 0)
            return fault_set(fault, -errno, "%s: %s.", copy, strerror(errno));
        if (!(status.st_mode & S_IXOTH))
            return fault_set(
                fault, -EACCES,
                "The retrievers run as users of their own and cannot pass through %s (mode %04o) to the "
                "state folder %s. Say `state: /var/lib/purser`, or another folder that is not below it, in "
                "purser.yaml.",
                copy, status.st_mode & 07777, path);
        *at = saved;
        if (!saved)
            return 0;
    }
}

static int open_parts(State *state)
{
    mode_t pass = geteuid() == 0 ? 0711 : 0700;
    if ((state->runs_fd = open_folder(state->fd, "runs", pass)) < 0)
        return state->runs_fd;
    if ((state->envs_fd = open_folder(state->fd, "envs", geteuid() == 0 ? 0755 : 0700)) < 0)
        return state->envs_fd;
    CLEANUP_FD int audit = open_folder(state->fd, "audit", 0700);
    if (audit < 0)
        return audit;
    CLEANUP_FD int sink = open_folder(state->fd, "sink", 0750);
    if (sink < 0)
        return sink;
    UserId clerk = user_of_role(USER_CLERK);
    return clerk.own && fchown(sink, clerk.uid, clerk.gid) < 0 ? -errno : 0;
}

int state_open(const char *path, State *ret_state, Fault *fault)
{
    State state = STATE_NONE;
    int r = make_folders(path);
    if (r)
        return fault_set(fault, r, "Cannot make the state folder %s: %s.", path, strerror(-r));
    if ((r = check_reachable(path, fault)))
        return r;
    state.path = mem_strdup(path);
    state.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = state.fd < 0 ? -errno : open_parts(&state);
    if (r) {
        state_close(&state);
        return fault_set(fault, r, "Cannot use the state folder %s: %s.", path, strerror(-r));
    }
    *ret_state = state;
    return 0;
}

int state_lock(State *state, Fault *fault)
{
    if (state->lock_fd >= 0)
        return 0;
    CLEANUP_FD int fd = openat(state->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_set(fault, -errno, "Cannot open %s/lock: %s.", state->path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[24] = "?";
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? strcspn(pid, "\n") : 1] = '\0';
        return fault_set(
            fault, -EBUSY,
            "Another purser (process %s) works with %s; wait for it to end, or give this one a `state:` of "
            "its own.",
            pid, state->path);
    }
    char line[24];
    int n = snprintf(line, sizeof(line), "%d\n", getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, line, (size_t)n, 0) != n)
        return fault_set(fault, -errno, "Cannot write %s/lock: %s.", state->path, strerror(errno));
    state->lock_fd = fd_steal(&fd);
    return 0;
}

bool state_is_used(const State *state)
{
    CLEANUP_FD int fd = openat(state->fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

/* Of a purser that was killed: the lock is ours, so they are nobody's any more. */
static void remove_last_runtime(const State *state)
{
    CLEANUP_BUF Buf text = BUF_INIT(4 * sizeof(state->runtime));
    char path[sizeof(state->runtime)];
    CLEANUP_FD int fd = openat(state->fd, "runtime", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    Slice line, rest;
    bool more = fd >= 0 && io_read_all(fd, &text) == 0;
    for (rest = buf_slice(&text); more;) {
        more = slice_cut(rest, '\n', &line, &rest);
        if (!line.len || line.len >= sizeof(path))
            continue;
        snprintf(path, sizeof(path), "%.*s", (int)line.len, line.ptr);
        if (strstr(path, "/purser-") && !strstr(path, ".."))
            (void)!tree_wipe(AT_FDCWD, path);
    }
}

static int make_runtime(const char *base, char path[64], Fault *fault)
{
    snprintf(path, 64, "%s/purser-XXXXXX", base);
    if (!mkdtemp(path)) {
        int r = -errno;
        path[0] = '\0';
        return fault_set(fault, r, "Cannot make a folder in %s: %s.", base, strerror(-r));
    }
    if (chmod(path, geteuid() == 0 ? 0711 : 0700) < 0)
        return fault_set(fault, -errno, "%s: %s.", path, strerror(errno));
    return 0;
}

/* Both, for whoever comes after a purser that was killed. */
static int note_runtime(const State *state, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(256);
    int r = buf_printf(&text, "%s\n%s", state->runtime, state->memory);
    r = r ? r : state_write(state->fd, "runtime", buf_slice(&text), 0600);
    return r ? fault_set(fault, r, "Cannot write %s/runtime: %s.", state->path, strerror(-r)) : 0;
}

const char *state_runtime_base(void)
{
    const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    return !base || strlen(base) > 40 || access(base, W_OK) < 0 ? "/tmp" : base;
}

int state_runtime(State *state, Fault *fault)
{
    remove_last_runtime(state);
    int r = make_runtime(state_runtime_base(), state->runtime, fault);
    return r ? r : note_runtime(state, fault);
}

bool state_is_memory(const char *path)
{
    struct statfs system;
    return statfs(path, &system) == 0 &&
           (system.f_type == TMPFS_MAGIC || (unsigned long)system.f_type == RAMFS_MAGIC);
}

int state_memory(State *state, Fault *fault)
{
    int r = 0;
    if (state->memory[0])
        return 0;
    if (state_is_memory(state->runtime) || !state_is_memory("/dev/shm"))
        snprintf(state->memory, sizeof(state->memory), "%s", state->runtime);
    else
        r = make_runtime("/dev/shm", state->memory, fault);
    return r ? r : note_runtime(state, fault);
}

void state_close(State *state)
{
    if (state->memory[0])
        (void)!tree_wipe(AT_FDCWD, state->memory);
    if (state->runtime[0]) {
        (void)!tree_remove(AT_FDCWD, state->runtime);
        unlinkat(state->fd, "runtime", 0);
    }
    mem_free(state->path);
    fd_close(&state->fd);
    fd_close(&state->runs_fd);
    fd_close(&state->envs_fd);
    fd_close(&state->lock_fd);
    fd_close(&state->audit_fd);
    *state = STATE_NONE;
}

int state_write(int dir_fd, const char *name, Slice text, mode_t mode)
{
    return io_replace(dir_fd, name, text, mode);
}
