/* A run's own folder and sockets. See state.h. */
#include "base/mem.h"
#include "supervisor/state.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int own_folder(int dir_fd, const char *name, const UserId *user, int *ret_fd)
{
    if (mkdirat(dir_fd, name, 0700) < 0)
        return -errno;
    CLEANUP_FD int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (user->own && fchown(fd, user->uid, user->gid) < 0))
        return -errno;
    if (ret_fd)
        *ret_fd = fd_steal(&fd);
    return 0;
}

int run_folder_open(State *state, const char *id, const UserId *user, bool collect, RunFolder *ret_folder,
                    Fault *fault)
{
    RunFolder folder = RUN_FOLDER_NONE;
    int r = 0;
    snprintf(folder.path, sizeof(folder.path), "%s/runs/%s", state->path, id);
    if (!collect && mkdirat(state->runs_fd, id, user->own ? 0711 : 0700) < 0)
        r = -errno;
    if (!r && (folder.fd = openat(state->runs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        r = -errno;
    if (!r && collect &&
        (folder.out_fd = openat(folder.fd, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        /* Somebody has removed it: there is nothing to collect, which is not worth a failure for ever. */
        r = errno == ENOENT ? own_folder(folder.fd, "out", user, &folder.out_fd) : -errno;
    if (!r && !collect && !(r = own_folder(folder.fd, "out", user, &folder.out_fd)))
        r = own_folder(folder.fd, "work", user, NULL);
    if (!r && (folder.log_fd = openat(folder.fd, "log",
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
        r = -errno;
    if (r) {
        run_folder_close(&folder);
        return fault_set(fault, r, "Cannot make the run's folder %s/runs/%s: %s.", state->path, id,
                         strerror(-r));
    }
    *ret_folder = folder;
    return 0;
}

int run_folder_open_bare(State *state, const char *id, RunFolder *ret_folder, Fault *fault)
{
    RunFolder folder = RUN_FOLDER_NONE;
    snprintf(folder.path, sizeof(folder.path), "%s/runs/%s", state->path, id);
    if (mkdirat(state->runs_fd, id, 0700) < 0 ||
        (folder.fd = openat(state->runs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return fault_set(fault, -errno, "Cannot make the run's folder %s: %s.", folder.path, strerror(errno));
    *ret_folder = folder;
    return 0;
}

int run_folder_copy_script(RunFolder *folder, const char *from, Fault *fault)
{
    TreeBounds bounds = {64u << 20, 1000, 4};
    CLEANUP_FD int from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from_fd < 0 || mkdirat(folder->fd, "script", 0755) < 0)
        return fault_set(fault, -errno, "Cannot copy the script's folder %s: %s.", from, strerror(errno));
    CLEANUP_FD int to_fd = openat(folder->fd, "script", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int r = to_fd < 0 ? -errno : tree_copy(from_fd, to_fd, &bounds);
    if (r == -EFBIG || r == -ELOOP)
        return fault_set(fault, r, "The script's folder %s is larger than 1,000 files, 64 MiB or 4 levels.",
                         from);
    return r ? fault_set(fault, r, "Cannot copy the script's folder %s: %s.", from, strerror(-r)) : 0;
}

static int listen_at(const char *path, int type, const UserId *user, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_FD int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
        (user->own && lchown(path, user->uid, user->gid) < 0) || listen(fd, 128) < 0)
        return -errno;
    *ret_fd = fd_steal(&fd);
    return 0;
}

int run_folder_listen_shared(const char *folder, const char *name, int type, int *ret_fd, Fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
    CLEANUP_FD int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : n >= (int)sizeof(address.sun_path) ? -ENAMETOOLONG : 0;
    if (!r && unlink(address.sun_path) < 0 && errno != ENOENT) /* of an agent that was killed */
        r = -errno;
    /* Made with its mode: the other container could put something else in the place of a name that is changed
     * afterwards. */
    mode_t before = umask(0111);
    if (!r && (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0))
        r = -errno;
    umask(before);
    if (r)
        return fault_set(fault, r, "Cannot make the socket %s/%s: %s.", folder, name, strerror(-r));
    *ret_fd = fd_steal(&fd);
    return 0;
}

int run_folder_listen(State *state, RunFolder *folder, unsigned n, const UserId *user, int *ret_http,
                      int *ret_run, Fault *fault)
{
    char path[128];
    CLEANUP_FD int http = -1;
    int r = 0;
    snprintf(folder->sockets, sizeof(folder->sockets), "%s/%u", state->runtime, n);
    if (mkdir(folder->sockets, user->own ? 0711 : 0700) < 0)
        r = -errno;
    snprintf(path, sizeof(path), "%s/http", folder->sockets);
    if (!r)
        r = listen_at(path, SOCK_STREAM, user, &http);
    snprintf(path, sizeof(path), "%s/run", folder->sockets);
    if (!r)
        r = listen_at(path, SOCK_SEQPACKET, user, ret_run);
    if (r)
        return fault_set(fault, r, "Cannot make the run's socket %s: %s.", path, strerror(-r));
    *ret_http = fd_steal(&http);
    return 0;
}

int run_folder_reveal(State *state, RunFolder *folder, unsigned n, const UserId *user, const char *source,
                      int *ret_fd, Fault *fault)
{
    bool shared = folder->tokens[0] && !state->memory[0];
    int r = shared ? 0 : state_memory(state, fault);
    mode_t mode = shared ? 0444 : 0400;
    if (r)
        return r;
    if (!shared)
        snprintf(folder->tokens, sizeof(folder->tokens), "%s/t%u", state->memory, n);
    if (mkdir(folder->tokens, shared ? 0755 : user->own ? 0711 : 0700) < 0 && errno != EEXIST)
        return fault_set(fault, -errno, "Cannot make the folder %s: %s.", folder->tokens, strerror(errno));
    CLEANUP_MEM char *path = mem_printf("%s/token-%s", folder->tokens, source);
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode) < 0 || (user->own && fchown(fd, user->uid, user->gid) < 0))
        return fault_set(fault, -errno, "Cannot make the file %s: %s.", path, strerror(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

void run_folder_end_reveal(RunFolder *folder)
{
    if (folder->tokens[0])
        (void)!tree_wipe(AT_FDCWD, folder->tokens);
    folder->tokens[0] = '\0';
}

void run_folder_close(RunFolder *folder)
{
    run_folder_end_reveal(folder);
    if (folder->sockets[0]) {
        int ignored = tree_remove(AT_FDCWD, folder->sockets);
        (void)ignored;
    }
    fd_close(&folder->fd);
    fd_close(&folder->out_fd);
    fd_close(&folder->log_fd);
    folder->sockets[0] = '\0';
}

void run_folder_clean(RunFolder *folder, bool keep_output)
{
    static const char *const part[] = {"work", "script", "out"};
    for (size_t i = 0; i < COUNT_OF(part) - (keep_output ? 1 : 0); i++) {
        int ignored = tree_remove(folder->fd, part[i]);
        (void)ignored;
    }
}
