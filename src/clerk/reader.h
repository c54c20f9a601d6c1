/* Reads a file that a stranger still holds: with pread() and never mapped, up to a limit that was fixed when
 * it was opened, through a window of fixed size. A file that grows or shrinks meanwhile is read up to what
 * was there; one that never answers (a FUSE mount) ends the process after READER_PATIENCE seconds.
 */
#pragma once

#include "base/slice.h"

#define READER_MAX_LINE (1u << 20) /* bytes of a line, or of a CSV record with line ends in it */
#define READER_PATIENCE 120

typedef struct Reader {
    int fd; /* borrowed */
    uint64_t limit;
    uint64_t at; /* file offset of the window's start */
    char *data;
    size_t start, len;
    bool ended;
} Reader;

void reader_init(Reader *reader);
void reader_done(Reader *reader);
void reader_open(Reader *reader, int fd, uint64_t limit); /* keeps the memory of the file before */
void reader_seek(Reader *reader, uint64_t at);

static inline Slice reader_window(const Reader *reader)
{
    return (Slice){reader->data + reader->start, reader->len};
}

/* More of the file into the window. -ENODATA: that was all; -ENOBUFS: the window is full (a line and more);
 * -errno of the read. Moves the window. */
int reader_fill(Reader *reader) MUST_USE;
void reader_consume(Reader *reader, size_t len);

/* The next line, without its end; *ret_whole says whether it had one. Not consumed: *ret_len bytes are the
 * line and its end. -ENODATA: no more; -EFBIG: longer than READER_MAX_LINE, and *ret_line is its beginning.
 */
int reader_line(Reader *reader, Slice *ret_line, size_t *ret_len, bool *ret_whole) MUST_USE;

/* Consumes up to and with the next line end, however far that is. */
int reader_skip_line(Reader *reader) MUST_USE;
