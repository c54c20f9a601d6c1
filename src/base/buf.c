/* A bounded, wiped, growable run of bytes. See buf.h. */
#include "base/buf.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

void buf_done(Buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->room);
    mem_free(buf->data);
    *buf = BUF_INIT(buf->max);
}

void buf_reset(Buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->len);
    buf->len = 0;
}

int buf_reserve(Buf *buf, size_t len, char **ret_at)
{
    if (len > buf->max - buf->len)
        return -ENOBUFS;
    size_t need = buf->len + len + 1;
    if (need > buf->room) {
        size_t room = buf->room ? buf->room : 64;
        while (room < need)
            room *= 2;
        if (room > buf->max + 1)
            room = buf->max + 1;
        char *fresh = mem_new(room, 1);
        if (buf->data) {
            memcpy(fresh, buf->data, buf->len);
            explicit_bzero(buf->data, buf->room);
            mem_free(buf->data);
        }
        buf->data = fresh;
        buf->room = room;
    }
    *ret_at = buf->data + buf->len;
    return 0;
}

void buf_commit(Buf *buf, size_t len)
{
    buf->len += len;
}

int buf_append(Buf *buf, const void *bytes, size_t len)
{
    char *at;
    int r = buf_reserve(buf, len, &at);
    if (r)
        return r;
    if (len)
        memcpy(at, bytes, len);
    buf->len += len;
    return 0;
}

int buf_append_text(Buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_append_slice(Buf *buf, Slice slice)
{
    return buf_append(buf, slice.ptr, slice.len);
}

int buf_vprintf(Buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        return -EINVAL;
    char *at;
    int r = buf_reserve(buf, (size_t)n, &at);
    if (r)
        return r;
    vsnprintf(at, (size_t)n + 1, fmt, args);
    buf->len += (size_t)n;
    return 0;
}

int buf_printf(Buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int r = buf_vprintf(buf, fmt, args);
    va_end(args);
    return r;
}

void buf_consume(Buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf_reset(buf);
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len);
    buf_truncate(buf, buf->len - len);
}

void buf_truncate(Buf *buf, size_t len)
{
    if (len >= buf->len)
        return;
    explicit_bzero(buf->data + len, buf->len - len);
    buf->len = len;
}

const char *buf_text(Buf *buf)
{
    if (!buf->data)
        return "";
    buf->data[buf->len] = '\0';
    return buf->data;
}
