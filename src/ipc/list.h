/* Private to ipc/: counted lists in records, bounded. */
#pragma once

#include "base/mem.h"
#include "ipc/keeper.h"

/* A count of at most `max`; 0 and a failed reader past it. */
size_t wire_get_count(WireReader *wire, size_t max);

void wire_put_strings(WireWriter *wire, char *const *list, size_t n);
void wire_get_strings(WireReader *wire, size_t max_each, char ***ret_list, size_t *ret_n);

/* A fixed array's worth of text, terminated; fails when it does not fit or holds a NUL. */
void wire_get_array(WireReader *wire, char *out, size_t size);
#define WIRE_GET_ARRAY(wire, array) wire_get_array((wire), (array), sizeof(array))

/* Parts of larger records. */
void origin_put(const Origin *origin, WireWriter *wire);
void origin_get(WireReader *wire, Origin *origin);
void token_ref_read(WireReader *wire, TokenRef *ref);
/* Bytes of one length, which is written too. */
void wire_get_bytes(WireReader *wire, unsigned char *out, size_t size);
#define WIRE_GET_BYTES(wire, array) wire_get_bytes((wire), (array), sizeof(array))
