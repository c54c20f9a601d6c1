/* Chunks: the same body and the same end, whole or byte by byte. */
#include "http/chunk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
    uint64_t sum, bytes;
    size_t used;
    int result;
} Seen;

static Seen read_in_pieces(const uint8_t *data, size_t size, size_t step)
{
    ChunkReader reader = {0};
    Seen seen = {.result = CHUNK_E_MORE};
    while (seen.used < size && seen.result == CHUNK_E_MORE) {
        size_t n = size - seen.used < step ? size - seen.used : step;
        Slice input = {(const char *)data + seen.used, n}, body;
        while ((seen.result = chunk_read(&reader, &input, &body)) == 0) {
            if (body.len == 0)
                abort();
            for (size_t i = 0; i < body.len; i++)
                seen.sum = seen.sum * 31 + (unsigned char)body.ptr[i];
            seen.bytes += body.len;
        }
        seen.used += n - input.len;
        if (seen.result == CHUNK_E_MORE && input.len)
            abort();
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Seen whole = read_in_pieces(data, size, size), bytes = read_in_pieces(data, size, 1);
    if (whole.result != bytes.result || whole.used != bytes.used || whole.sum != bytes.sum ||
        whole.bytes != bytes.bytes || whole.bytes > size)
        abort();
    return 0;
}
