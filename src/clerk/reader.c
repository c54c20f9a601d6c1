/* A window onto a stranger's file. See reader.h. */
#include "clerk/reader.h"

#include "base/mem.h"

#include <errno.h>

#define CHUNK  (256u << 10)
#define WINDOW (READER_MAX_LINE + 2 * CHUNK)

void reader_init(Reader *reader)
{
    *reader = (Reader){.fd = -1, .data = mem_new(WINDOW, 1)};
}

void reader_done(Reader *reader)
{
    mem_free(reader->data);
    *reader = (Reader){.fd = -1};
}

void reader_open(Reader *reader, int fd, uint64_t limit)
{
    reader->fd = fd;
    reader->limit = limit;
    reader_seek(reader, 0);
}

void reader_seek(Reader *reader, uint64_t at)
{
    reader->at = at;
    reader->start = reader->len = 0;
    reader->ended = false;
}

int reader_fill(Reader *reader)
{
    uint64_t next = reader->at + reader->len;
    if (reader->ended || next >= reader->limit)
        return -ENODATA;
    if (reader->start + reader->len + CHUNK > WINDOW) {
        memmove(reader->data, reader->data + reader->start, reader->len);
        reader->start = 0;
    }
    size_t room = WINDOW - reader->start - reader->len;
    if (room == 0)
        return -ENOBUFS;
    if (room > CHUNK)
        room = CHUNK;
    if (room > reader->limit - next)
        room = (size_t)(reader->limit - next);
    ssize_t n;
    alarm(READER_PATIENCE);
    do
        n = pread(reader->fd, reader->data + reader->start + reader->len, room, (off_t)next);
    while (n < 0 && errno == EINTR);
    int error = errno;
    alarm(0);
    if (n < 0)
        return -error;
    if (n == 0) {
        reader->ended = true;
        return -ENODATA;
    }
    reader->len += (size_t)n;
    return 0;
}

void reader_consume(Reader *reader, size_t len)
{
    reader->start += len;
    reader->len -= len;
    reader->at += len;
}

int reader_line(Reader *reader, Slice *ret_line, size_t *ret_len, bool *ret_whole)
{
    for (size_t seen = 0;;) {
        Slice window = reader_window(reader);
        const char *end = memchr(window.ptr + seen, '\n', window.len - seen);
        size_t len = end ? (size_t)(end - window.ptr) : window.len;
        int r = 0;
        if (!end && len <= READER_MAX_LINE) {
            r = reader_fill(reader);
            seen = len;
            if (!r)
                continue;
            if (r != -ENODATA || len == 0)
                return r;
        }
        *ret_line = (Slice){window.ptr, len};
        *ret_len = len + (end != NULL);
        *ret_whole = end != NULL;
        return len > READER_MAX_LINE ? -EFBIG : 0;
    }
}

int reader_skip_line(Reader *reader)
{
    for (;;) {
        Slice window = reader_window(reader);
        const char *end = memchr(window.ptr, '\n', window.len);
        reader_consume(reader, end ? (size_t)(end - window.ptr) + 1 : window.len);
        if (end)
            return 0;
        int r = reader_fill(reader);
        if (r)
            return r == -ENODATA ? 0 : r;
    }
}
