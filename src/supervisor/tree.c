/* Copying and removing folders without following a link. See state.h. */
#include "supervisor/state.h"

#include "base/io.h"
#include "supervisor/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define MAX_DEPTH 128 /* of what is removed in one pass */

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Zeros over a plain file. Its owner may have put another in its place: no link is followed. */
static int overwrite(int dir_fd, const char *name)
{
    static const char zeros[4096];
    char again[40];
    struct stat status;
    CLEANUP_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return 0;
    snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
    if (fchmod(fd, 0600) < 0)
        return -errno;
    CLEANUP_FD int out = open(again, O_WRONLY | O_CLOEXEC);
    for (off_t at = 0; out >= 0 && at < status.st_size; at += (off_t)sizeof(zeros)) {
        off_t left = status.st_size - at;
        size_t part = left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);
        if (pwrite(out, zeros, part, at) != (ssize_t)part)
            return -EIO;
    }
    return out < 0 ? -errno : 0;
}

/* Of a folder, and of those in it. */
static int overwrite_beneath(int fd, unsigned depth)
{
    int first = 0;
    DIR *folder = fdopendir(fd);
    if (!folder) {
        fd_close(&fd);
        return -errno;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (is_dots(entry->d_name))
            continue;
        int child = depth ? openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int r = child >= 0 ? overwrite_beneath(child, depth - 1) : overwrite(fd, entry->d_name);
        first = first ? first : r;
    }
    closedir(folder);
    return first;
}

/* What is being removed. What lies deeper than one pass goes is moved to the top, for another pass. */
typedef struct Removal {
    int top;
    unsigned moved, next;
} Removal;

/* A folder, opened so that its entries can be removed, also where a script of the same user has closed it
 * against itself. No link is followed. */
static int open_to_empty(int dir_fd, const char *name)
{
    char again[40];
    CLEANUP_FD int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
    if ((status.st_mode & 0700) != 0700 && status.st_uid == geteuid() && chmod(again, 0700) < 0)
        return -errno;
    int opened = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

static int move_up(Removal *removal, int fd, const char *name)
{
    char fresh[24];
    int r;
    do {
        snprintf(fresh, sizeof(fresh), ".deep-%u", removal->next++);
        r = renameat2(fd, name, removal->top, fresh, RENAME_NOREPLACE) < 0 ? -errno : 0;
    } while (r == -EEXIST);
    removal->moved += r == 0;
    return r;
}

static int remove_beneath(Removal *removal, int fd, unsigned depth)
{
    int first = 0;
    DIR *folder = fdopendir(fd);
    if (!folder) {
        fd_close(&fd);
        return -errno;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (is_dots(entry->d_name) || unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        int r = -errno;
        if (r == -EISDIR || r == -EPERM) {
            int child = open_to_empty(fd, entry->d_name);
            if (child >= 0 && depth == MAX_DEPTH) {
                fd_close(&child);
                r = move_up(removal, fd, entry->d_name);
            } else {
                r = child < 0 ? child : remove_beneath(removal, child, depth + 1);
                if (!r && unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0)
                    r = -errno;
            }
        }
        if (!first)
            first = r;
    }
    closedir(folder);
    return first;
}

int tree_remove(int dir_fd, const char *name)
{
    Removal removal = {.top = open_to_empty(dir_fd, name)};
    CLEANUP_FD int top = removal.top;
    int r;
    if (top == -ENOENT)
        return 0;
    if (top < 0)
        return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
    do {
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        removal.moved = 0;
        r = fd < 0 ? -errno : remove_beneath(&removal, fd, 0);
    } while (removal.moved);
    if (!r && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

int tree_wipe(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int wiped = fd < 0 ? 0 : overwrite_beneath(fd, 1); /* MEMORY/N/FILE */
    int r = tree_remove(dir_fd, name);
    return wiped ? wiped : r;
}

static int copy_file(int from_dir, int to_dir, const char *name, mode_t mode, TreeBounds *left)
{
    CLEANUP_FD int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP_FD int to =
        openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode & 0111) ? 0755 : 0644);
    char piece[65536];
    if (from < 0 || to < 0)
        return -errno;
    for (ssize_t n; (n = read(from, piece, sizeof(piece))) != 0;) {
        if (n < 0)
            return -errno;
        if ((uint64_t)n > left->bytes)
            return -EFBIG;
        left->bytes -= (uint64_t)n;
        int r = io_write_all(to, piece, (size_t)n);
        if (r)
            return r;
    }
    return fchmod(to, (mode & 0111) ? 0755 : 0644) < 0 ? -errno : 0;
}

int tree_copy(int from_fd, int to_fd, TreeBounds *left)
{
    int r = 0, scan = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = scan < 0 ? NULL : fdopendir(scan);
    if (!folder)
        return -errno;
    for (struct dirent *entry; !r && (entry = readdir(folder));) {
        struct stat status;
        if (is_dots(entry->d_name) || strcmp(entry->d_name, "__pycache__") == 0)
            continue;
        if (fstatat(from_fd, entry->d_name, &status, 0) < 0) /* a link in the user's own folder is followed */
            r = -errno;
        else if (left->files-- == 0)
            r = -EFBIG;
        else if (S_ISREG(status.st_mode))
            r = copy_file(from_fd, to_fd, entry->d_name, status.st_mode, left);
        else if (S_ISDIR(status.st_mode)) {
            CLEANUP_FD int from = openat(from_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (left->depth == 0 || from < 0 || mkdirat(to_fd, entry->d_name, 0755) < 0) {
                r = left->depth == 0 ? -ELOOP : -errno;
                break;
            }
            CLEANUP_FD int to = openat(to_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            left->depth--;
            r = to < 0 ? -errno : tree_copy(from, to, left);
            left->depth++;
        }
    }
    closedir(folder);
    return r;
}
