/* The chunked transfer coding (RFC 9112, section 7.1), incrementally, strictly: at most 16 hex digits, CRLF
 * and nothing else; chunk extensions are skipped up to 256 bytes; trailers are read and dropped up to 8 kB.
 */
#pragma once

#include "base/slice.h"

typedef struct ChunkReader {
    uint8_t state;
    uint8_t digits;
    uint16_t skipped; /* bytes of extension or trailer so far */
    uint64_t left;    /* of the chunk that is being read */
} ChunkReader;        /* zeroed: ready */

enum { CHUNK_E_MORE = 1, CHUNK_E_END, CHUNK_E_BAD };

/* Takes bytes from the front of *input. Returns 0 and a piece of body in *ret_body (it points into the
 * input), CHUNK_E_MORE when the input is used up, CHUNK_E_END after the last chunk and its trailers (what is
 * left in *input belongs to the next message), CHUNK_E_BAD. */
int chunk_read(ChunkReader *reader, Slice *input, Slice *ret_body) MUST_USE;

/* Writes "LEN\r\n" for a piece of `len` bytes into out; returns its length. The piece is followed by CRLF;
 * the end is CHUNK_END. */
size_t chunk_head(char out[static 20], size_t len);
#define CHUNK_END "0\r\n\r\n"
