/* The encoding of records between roles. See wire.h. */
#include "base/wire.h"

#include "base/mem.h"

#include <errno.h>

static void put(WireWriter *wire, const void *bytes, size_t len)
{
    if (wire->failed || len > wire->room - wire->len) {
        wire->failed = true;
        return;
    }
    if (len)
        memcpy(wire->data + wire->len, bytes, len);
    wire->len += len;
}

static const void *get(WireReader *wire, size_t len)
{
    if (wire->failed || len > wire->len - wire->at) {
        wire->failed = true;
        return NULL;
    }
    const void *at = wire->data + wire->at;
    wire->at += len;
    return at;
}

#define DEFINE_INTEGER(name, type)                                                                           \
    void wire_put_##name(WireWriter *wire, type value)                                                       \
    {                                                                                                        \
        put(wire, &value, sizeof(value));                                                                    \
    }                                                                                                        \
    type wire_get_##name(WireReader *wire)                                                                   \
    {                                                                                                        \
        type value = 0;                                                                                      \
        const void *at = get(wire, sizeof(value));                                                           \
        if (at)                                                                                              \
            memcpy(&value, at, sizeof(value));                                                               \
        return value;                                                                                        \
    }

DEFINE_INTEGER(u8, uint8_t)
DEFINE_INTEGER(u16, uint16_t)
DEFINE_INTEGER(u32, uint32_t)
DEFINE_INTEGER(u64, uint64_t)
DEFINE_INTEGER(i64, int64_t)

void wire_put_slice(WireWriter *wire, Slice bytes)
{
    wire_put_u32(wire, (uint32_t)bytes.len);
    put(wire, bytes.ptr, bytes.len);
}

void wire_put_text(WireWriter *wire, const char *text)
{
    wire_put_slice(wire, slice_of(text));
}

bool wire_get_bool(WireReader *wire)
{
    uint8_t value = wire_get_u8(wire);
    if (value > 1)
        wire->failed = true;
    return value == 1;
}

Slice wire_get_slice(WireReader *wire, size_t max)
{
    uint32_t len = wire_get_u32(wire);
    if (len > max)
        wire->failed = true;
    const char *at = get(wire, len);
    return at ? (Slice){at, len} : (Slice){"", 0};
}

char *wire_dup_text(WireReader *wire, size_t max)
{
    Slice text = wire_get_slice(wire, max);
    if (text.len && memchr(text.ptr, '\0', text.len)) {
        wire->failed = true;
        text.len = 0;
    }
    return mem_dup(text.ptr, text.len);
}

int wire_finish(const WireReader *wire)
{
    return wire->failed || wire->at != wire->len ? -EBADMSG : 0;
}
