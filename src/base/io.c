/* Whole reads and writes of descriptors. See io.h. */
#include "base/io.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int io_read_all(int fd, Buf *buf)
{
    for (;;) {
        size_t want = buf->max - buf->len < 65536 ? buf->max - buf->len : 65536;
        char *at, one;
        if (want == 0) { /* full: only the end of the file is all right now */
            ssize_t n = read(fd, &one, 1);
            if (n < 0 && errno == EINTR)
                continue;
            return n < 0 ? -errno : n == 0 ? 0 : -EFBIG;
        }
        int r = buf_reserve(buf, want, &at);
        if (r)
            return r;
        ssize_t n = read(fd, at, want);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            buf_commit(buf, (size_t)n);
    }
}

int io_write_all(int fd, const void *bytes, size_t len)
{
    for (const char *at = bytes; len;) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            at += n, len -= (size_t)n;
    }
    return 0;
}

int io_read_file(int dir_fd, const char *path, Buf *buf)
{
    CLEANUP_FD int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    return io_read_all(fd, buf);
}

int io_set_nonblocking(int fd)
{
    int on = 1; /* not F_SETFL, which could also undo O_APPEND: the keeper's sandbox refuses it */
    return ioctl(fd, FIONBIO, &on) < 0 ? -errno : 0;
}

int io_set_inherited(int fd, bool inherited)
{
    return fcntl(fd, F_SETFD, inherited ? 0 : FD_CLOEXEC) < 0 ? -errno : 0;
}

int io_replace(int dir_fd, const char *name, Slice text, mode_t mode)
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

int io_sync_folder_of(const char *path)
{
    CLEANUP_MEM char *folder = mem_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    CLEANUP_FD int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}
