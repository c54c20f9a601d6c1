/* Counted lists in records. See list.h. */
#include "ipc/list.h"

size_t wire_get_count(WireReader *wire, size_t max)
{
    uint32_t n = wire_get_u32(wire);
    if (n > max)
        wire->failed = true;
    return wire->failed ? 0 : n;
}

void wire_put_strings(WireWriter *wire, char *const *list, size_t n)
{
    wire_put_u32(wire, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        wire_put_text(wire, list[i]);
}

void wire_get_strings(WireReader *wire, size_t max_each, char ***ret_list, size_t *ret_n)
{
    size_t n = wire_get_count(wire, CONFIG_MAX_LIST);
    char **list = MEM_NEW_ARRAY(char *, n);
    for (size_t i = 0; i < n; i++)
        list[i] = wire_dup_text(wire, max_each);
    *ret_list = list;
    *ret_n = n;
}

void wire_get_array(WireReader *wire, char *out, size_t size)
{
    Slice text = wire_get_slice(wire, size - 1);
    if (text.len && memchr(text.ptr, '\0', text.len)) {
        wire->failed = true;
        text.len = 0;
    }
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

void wire_get_bytes(WireReader *wire, unsigned char *out, size_t size)
{
    Slice bytes = wire_get_slice(wire, size);
    if (bytes.len != size)
        wire->failed = true;
    memset(out, 0, size);
    memcpy(out, bytes.ptr, bytes.len);
}
