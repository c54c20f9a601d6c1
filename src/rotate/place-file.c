/* A token in a file of its own: FILE, FILE.purser-new, FILE.purser-old. See place.h. */
#include "rotate/place.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define ROOM (SECRET_MAX_TOKEN + 3) /* its newline, and a byte by which too long is seen */

typedef struct FilePlace {
    Place place;
    const char *path;
    char *staged[2];
} FilePlace;

static int failed(const char *path, const char *what, int error, Fault *fault)
{
    return fault_set(fault, error, "the token file %s cannot be %s: %s", path, what, strerror(-error));
}

/* *ret_token NULL: there is no such file. */
static int read_token(const char *path, Sealed **ret_token, struct stat *status, bool *ret_newline,
                      Fault *fault)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    *ret_token = NULL;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && errno == ELOOP)
        return fault_set(
            fault, -ELOOP,
            "the token file %s is a link, as of a Secret that is mounted: replace the token where it "
            "comes from",
            path);
    if (fd < 0 || fstat(fd, status) < 0)
        return failed(path, "opened", -errno, fault);
    if (!S_ISREG(status->st_mode))
        return fault_set(fault, -EINVAL, "the token file %s is not a regular file", path);
    char *scratch = secret_alloc(ROOM);
    if (!scratch)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    ssize_t n = pread(fd, scratch, ROOM, 0);
    bool marked = n >= (ssize_t)strlen(MARK_FILE) && memcmp(scratch, MARK_FILE, strlen(MARK_FILE)) == 0;
    int r = n < 0    ? failed(path, "read", -errno, fault)
            : marked ? 0
                     : store_seal(path, (Slice){scratch, (size_t)n},
                                  memmem(scratch, (size_t)n, "-----BEGIN ", 11) != NULL, ret_token, fault);
    *ret_newline = n > 0 && scratch[n - 1] == '\n';
    secret_release(scratch, ROOM);
    return r;
}

static int file_look(Place *place, PlaceFound *ret_found, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    struct stat status = {0}, other;
    bool newline;
    PlaceFound found = {0};
    int r = read_token(self->path, &found.current, &status, &newline, fault);
    for (size_t i = 0; i < 2 && r == 0; i++)
        r = read_token(self->staged[i], &found.staged[i], &other, &newline, fault);
    if (r) {
        place_found_done(&found);
        return r;
    }
    found.set = found.current ? (int64_t)status.st_mtim.tv_sec * CLOCK_SECOND : 0;
    *ret_found = found;
    return 0;
}

static int zero(int fd, off_t size)
{
    static const char zeros[4096];
    int r = size > (off_t)ROOM ? -EINVAL : 0;
    for (off_t at = 0; r == 0 && at < size; at += (off_t)sizeof(zeros))
        r = pwrite(fd, zeros, (size_t)(size - at < 4096 ? size - at : 4096), at) < 0 ? -errno : 0;
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* -errno. A file of our own may have a mode that lets nobody write it, as 0400: then its owner may. */
static int open_to_zero(const char *path, struct stat *ret_status)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == EACCES) {
        CLEANUP_FD int read_only = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (read_only < 0 || fstat(read_only, ret_status) < 0 ||
            fchmod(read_only, (ret_status->st_mode & 07777) | S_IWUSR) < 0)
            return -errno;
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        return fd < 0 ? -errno : fd_steal(&fd);
    }
    return fd < 0 || fstat(fd, ret_status) < 0 ? -errno : fd_steal(&fd);
}

/* Overwritten first: a token's file that is only removed stays on the disk. */
static int wipe(const char *path, Fault *fault)
{
    struct stat status;
    CLEANUP_FD int fd = open_to_zero(path, &status);
    if (fd < 0)
        return fd == -ENOENT ? 0 : failed(path, "removed", fd, fault);
    int r = zero(fd, status.st_size);
    if (r == 0 && unlink(path) < 0)
        r = -errno;
    return r ? failed(path, "removed", r, fault) : 0;
}

static int write_bytes(int fd, const Sealed *token, bool newline)
{
    size_t len = secret_len(token);
    char *plain = secret_alloc(len + 1);
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0) {
        plain[len] = '\n';
        r = io_write_all(fd, plain, len + newline);
    }
    secret_release(plain, len + 1);
    return r;
}

/* Whole or not at all, with owner, mode and last newline of the file that it stands beside or replaces. */
static int write_token(const FilePlace *self, const char *path, const Sealed *token, Fault *fault)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.purser-write", self->path);
    struct stat status;
    bool newline = false;
    Sealed *now = NULL;
    int r = read_token(self->path, &now, &status, &newline, fault);
    secret_free(now);
    if (r || !now)
        return r ? r : place_stale(&self->place, fault);
    if ((r = wipe(fresh, fault)) != 0) /* of one that died: the lock is ours */
        return r;
    CLEANUP_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(fresh, "made", -errno, fault);
    bool ours = status.st_uid == geteuid() && status.st_gid == getegid();
    if ((!ours && fchown(fd, status.st_uid, status.st_gid) < 0) || fchmod(fd, status.st_mode & 07777) < 0)
        r = -errno;
    r = r ? r : write_bytes(fd, token, newline);
    if (r == 0 && (fsync(fd) < 0 || rename(fresh, path) < 0))
        r = -errno;
    r = r ? r : io_sync_folder_of(path);
    if (r)
        unlink(fresh);
    return r ? failed(path, "written", r, fault) : 0;
}

static int file_stage(Place *place, const Sealed *old, const Sealed *fresh, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    PlaceFound found;
    int r = file_look(place, &found, fault);
    if (r)
        return r;
    bool same = secret_same(found.current, old);
    place_found_done(&found);
    if (!same)
        return place_stale(place, fault);
    r = write_token(self, self->staged[ROTATE_NEW], fresh, fault);
    return r ? r : write_token(self, self->staged[ROTATE_OLD], old, fault);
}

static int file_put(Place *place, RotateToken which, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    PlaceFound found;
    int r = file_look(place, &found, fault);
    if (r)
        return r;
    if (found.staged[which] && place_current(&found) != ROTATE_CURRENT_OTHER)
        r = write_token(self, self->path, found.staged[which], fault);
    else
        r = place_stale(place, fault);
    place_found_done(&found);
    return r;
}

/* Out of the way before it is overwritten: nobody reads half a token there. */
static int file_clear(Place *place, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    CLEANUP_MEM char *gone = mem_printf("%s.purser-write", self->path);
    int r = wipe(gone, fault);
    for (size_t i = 0; i < 2 && r == 0; i++) {
        if (rename(self->staged[i], gone) < 0)
            r = errno == ENOENT ? 0 : failed(self->staged[i], "removed", -errno, fault);
        else
            r = wipe(gone, fault);
    }
    int synced = r ? 0 : io_sync_folder_of(self->path);
    return synced ? failed(self->path, "synced", synced, fault) : r;
}

/* In the place of the token, with its owner and mode. */
static int write_mark(const FilePlace *self, const char *fresh, const struct stat *status, const char *mark,
                      Fault *fault)
{
    CLEANUP_MEM char *line = mem_printf(MARK_FILE "%s\n", mark);
    CLEANUP_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ours = status->st_uid == geteuid() && status->st_gid == getegid();
    int r = fd < 0 ? -errno : 0;
    if (r == 0 && ((!ours && fchown(fd, status->st_uid, status->st_gid) < 0) ||
                   fchmod(fd, status->st_mode & 07777) < 0))
        r = -errno;
    r = r ? r : io_write_all(fd, line, strlen(line));
    if (r == 0 && (fsync(fd) < 0 || rename(fresh, self->path) < 0))
        r = -errno;
    return r ? failed(self->path, "marked", r, fault) : 0;
}

/* The mark comes in one step; then the bytes that lay there are overwritten on the disk. */
static int take_away(const FilePlace *self, const char *mark, Fault *fault)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.purser-write", self->path);
    struct stat status = {0};
    CLEANUP_FD int old = open_to_zero(self->path, &status);
    int r = old < 0 ? failed(self->path, "withdrawn", old, fault) : wipe(fresh, fault);
    r = r ? r : write_mark(self, fresh, &status, mark, fault);
    if (r)
        return r;
    r = zero(old, status.st_size);
    r = r ? r : io_sync_folder_of(self->path);
    return r ? failed(self->path, "overwritten", r, fault) : 0;
}

static int file_withdraw(Place *place, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    PlaceFound found;
    char mark[MARK_TEXT];
    int r = file_look(place, &found, fault);
    if (r)
        return r;
    r = place_mark(&found, clock_wall(), mark, fault);
    if (r == 0 && place_current(&found) == ROTATE_CURRENT_OTHER)
        r = !found.staged[ROTATE_OLD] ? write_token(self, self->staged[ROTATE_OLD], found.current, fault)
                                      : place_stale(place, fault);
    place_found_done(&found);
    return r ? r : take_away(self, mark, fault);
}

static int file_may_write(Place *place, Fault *fault)
{
    const FilePlace *self = (FilePlace *)place;
    CLEANUP_MEM char *folder = mem_strdup(self->path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    if (access(slash ? folder : ".", W_OK) < 0)
        return failed(self->path, "replaced", -errno, fault);
    return 0;
}

static Place *file_place_free(Place *place)
{
    FilePlace *self = (FilePlace *)place;
    mem_free(self->staged[ROTATE_OLD]);
    mem_free(self->staged[ROTATE_NEW]);
    mem_free(self);
    return NULL;
}

int place_file_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    static const PlaceDriver driver = {place_flock, NULL,       file_look,      file_stage,
                                       file_put,    file_clear, file_withdraw,  file_may_write,
                                       NULL,        NULL,       file_place_free};
    const char *path = setup->source.source.token.name;
    FilePlace *self = MEM_NEW(FilePlace);
    (void)fault;
    *self = (FilePlace){.place = {.driver = &driver,
                                  .label = mem_printf("the token file %s", path),
                                  .lock_path = mem_printf("%s.purser-lock", path),
                                  .lock_fd = -1},
                        .path = path,
                        .staged = {mem_printf("%s.purser-old", path), mem_printf("%s.purser-new", path)}};
    *ret_place = &self->place;
    return 0;
}
