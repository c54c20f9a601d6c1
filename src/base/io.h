/* Whole reads and writes of descriptors, bounded. */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

/* Until the end of the file; -EFBIG past the Buf's maximum; EINTR is retried. */
int io_read_all(int fd, Buf *buf) MUST_USE;
int io_write_all(int fd, const void *bytes, size_t len) MUST_USE;

/* Opens (read-only, close-on-exec, a regular file) and reads; -errno of whichever failed; -EINVAL: not
 * regular. */
int io_read_file(int dir_fd, const char *path, Buf *buf) MUST_USE;

int io_set_nonblocking(int fd) MUST_USE;
int io_set_inherited(int fd, bool inherited) MUST_USE; /* clears or sets close-on-exec */

/* A small file, whole at every moment and on the disk when it returns: .NAME.new, renamed. */
int io_replace(int dir_fd, const char *name, Slice text, mode_t mode) MUST_USE;

/* The folder in which `path` lies: a name that was made or replaced there is on the disk. */
int io_sync_folder_of(const char *path) MUST_USE;
