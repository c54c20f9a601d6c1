/* The state folder: making, locking, closing. See state.h. */
#include "purser/state.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

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

/* Of a purser that was killed: the lock is ours, so it is nobody's any more. */
static void remove_last_runtime(const State *state)
{
    CLEANUP_BUF Buf text = BUF_INIT(sizeof(state->runtime));
    char path[sizeof(state->runtime)];
    CLEANUP_FD int fd = openat(state->fd, "runtime", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || io_read_all(fd, &text) || !text.len || text.len >= sizeof(path))
        return;
    snprintf(path, sizeof(path), "%.*s", (int)text.len, text.data);
    if (strstr(path, "/purser-") && !strstr(path, "..")) {
        int ignored = tree_remove(AT_FDCWD, path);
        (void)ignored;
    }
}

const char *state_runtime_base(void)
{
    const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    return !base || strlen(base) > 40 || access(base, W_OK) < 0 ? "/tmp" : base;
}

int state_runtime(State *state, Fault *fault)
{
    remove_last_runtime(state);
    const char *base = state_runtime_base();
    snprintf(state->runtime, sizeof(state->runtime), "%s/purser-XXXXXX", base);
    if (!mkdtemp(state->runtime)) {
        int r = -errno;
        state->runtime[0] = '\0';
        return fault_set(fault, r, "Cannot make a folder for sockets in %s: %s.", base, strerror(-r));
    }
    if (chmod(state->runtime, geteuid() == 0 ? 0711 : 0700) < 0)
        return fault_set(fault, -errno, "%s: %s.", state->runtime, strerror(errno));
    int r = state_write(state->fd, "runtime", slice_of(state->runtime), 0600);
    return r ? fault_set(fault, r, "Cannot write %s/runtime: %s.", state->path, strerror(-r)) : 0;
}

void state_close(State *state)
{
    if (state->runtime[0]) {
        int ignored = tree_remove(AT_FDCWD, state->runtime);
        (void)ignored;
        unlinkat(state->fd, "runtime", 0);
    }
    mem_free(state->path);
    fd_close(&state->fd);
    fd_close(&state->runs_fd);
    fd_close(&state->envs_fd);
    fd_close(&state->lock_fd);
    *state = STATE_NONE;
}

int state_write(int dir_fd, const char *name, Slice text, mode_t mode)
{
    char temporary[256];
    if ((size_t)snprintf(temporary, sizeof(temporary), ".%s.new", name) >= sizeof(temporary))
        return -ENAMETOOLONG;
    CLEANUP_FD int fd =
        openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    int r = fd < 0 ? -errno : io_write_all(fd, text.ptr, text.len);
    if (!r && (fsync(fd) < 0 || renameat(dir_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0))
        r = -errno;
    return r;
}
