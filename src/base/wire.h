/* The encoding of records between roles on one machine: fixed-width integers in host order, byte runs as a
 * u32 length and the bytes. Both ends stick at the first failure, so that a record is written or read
 * straight through and asked about once. A reader never allocates: what it returns points into the record.
 */
#pragma once

#include "base/slice.h"

typedef struct WireWriter {
    unsigned char *data;
    size_t room, len;
    bool failed; /* did not fit */
} WireWriter;

#define WIRE_WRITER(array) ((WireWriter){.data = (array), .room = sizeof(array)})

void wire_put_u8(WireWriter *wire, uint8_t value);
void wire_put_u16(WireWriter *wire, uint16_t value);
void wire_put_u32(WireWriter *wire, uint32_t value);
void wire_put_u64(WireWriter *wire, uint64_t value);
void wire_put_i64(WireWriter *wire, int64_t value);
void wire_put_slice(WireWriter *wire, Slice bytes);
void wire_put_text(WireWriter *wire, const char *text); /* NULL is written as an empty one */

typedef struct WireReader {
    const unsigned char *data;
    size_t len, at;
    bool failed; /* ran out, or a value was outside its bounds */
} WireReader;

#define WIRE_READER(bytes, length) ((WireReader){.data = (const unsigned char *)(bytes), .len = (length)})

uint8_t wire_get_u8(WireReader *wire);
uint16_t wire_get_u16(WireReader *wire);
uint32_t wire_get_u32(WireReader *wire);
uint64_t wire_get_u64(WireReader *wire);
int64_t wire_get_i64(WireReader *wire);
bool wire_get_bool(WireReader *wire);               /* anything but 0 and 1 fails */
Slice wire_get_slice(WireReader *wire, size_t max); /* longer than max fails */
char *wire_dup_text(WireReader *wire, size_t max); /* a copy to be freed; a NUL inside fails; "" on failure */

int wire_finish(const WireReader *wire) MUST_USE; /* -EBADMSG when it failed or bytes are left over */
