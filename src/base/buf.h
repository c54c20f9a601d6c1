/* A growable run of bytes with a maximum that is fixed when it is made; wiped when it is freed or reset.
 * One owner. `data` always has room for a NUL past `len`, and buf_text() puts it there.
 */
#pragma once

#include "base/slice.h"

#include <stdarg.h>

typedef struct Buf {
    char *data;
    size_t len, room, max;
} Buf;

#define BUF_INIT(max_bytes) ((Buf){.max = (max_bytes)})

void buf_done(Buf *buf);  /* wipes and frees; the Buf can be used again */
void buf_reset(Buf *buf); /* wipes what is there, keeps the room */

/* -ENOBUFS past the maximum; then nothing was appended. */
int buf_append(Buf *buf, const void *bytes, size_t len) MUST_USE;
int buf_append_text(Buf *buf, const char *text) MUST_USE;
int buf_append_slice(Buf *buf, Slice slice) MUST_USE;
int buf_printf(Buf *buf, const char *fmt, ...) MUST_USE FORMAT(2, 3);
int buf_vprintf(Buf *buf, const char *fmt, va_list args) MUST_USE FORMAT(2, 0);

/* Room for `len` more bytes at the end, to be written by the caller and then counted by buf_commit(). */
int buf_reserve(Buf *buf, size_t len, char **ret_at) MUST_USE;
void buf_commit(Buf *buf, size_t len);

void buf_consume(Buf *buf, size_t len);  /* drops the first len bytes, moving the rest */
void buf_truncate(Buf *buf, size_t len); /* keeps the first len bytes, wiping the rest */

static inline Slice buf_slice(const Buf *buf)
{
    return (Slice){buf->data ? buf->data : "", buf->len};
}
const char *buf_text(Buf *buf); /* terminated; valid until the next change */

#define CLEANUP_BUF CLEANUP(buf_done)
