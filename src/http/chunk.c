/* The chunked transfer coding, byte by byte where it must be, piece by piece where it can. See chunk.h. */
#include "http/chunk.h"

#define MAX_SKIPPED_EXTENSION 256
#define MAX_SKIPPED_TRAILER   8192

enum {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER,
    TRAILER_LF,
    LAST_LF,
    ENDED,
    BROKEN
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int size_byte(ChunkReader *reader, char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (reader->digits == 16 || (reader->left >> 59)) /* one more digit must not wrap */
            return BROKEN;
        reader->left = reader->left << 4 | (unsigned)digit;
        reader->digits++;
        return SIZE;
    }
    if (reader->digits == 0)
        return BROKEN;
    return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : BROKEN;
}

static int skip_byte(ChunkReader *reader, char c, unsigned most, int again, int end)
{
    if (c == '\r')
        return end;
    if ((unsigned char)c < ' ' && c != '\t')
        return BROKEN;
    return ++reader->skipped > most ? BROKEN : again;
}

/* Where one byte outside of chunk data leads. */
static int step(ChunkReader *reader, char c)
{
    switch (reader->state) {
    case SIZE:
        return size_byte(reader, c);
    case EXTENSION:
        return skip_byte(reader, c, MAX_SKIPPED_EXTENSION, EXTENSION, SIZE_LF);
    case SIZE_LF:
        reader->skipped = 0;
        return c != '\n' ? BROKEN : reader->left ? DATA : TRAILER_START;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BROKEN;
    case DATA_LF:
        reader->digits = 0;
        return c == '\n' ? SIZE : BROKEN;
    case TRAILER_START:
        return c == '\r' ? LAST_LF : skip_byte(reader, c, MAX_SKIPPED_TRAILER, TRAILER, BROKEN);
    case TRAILER:
        return skip_byte(reader, c, MAX_SKIPPED_TRAILER, TRAILER, TRAILER_LF);
    case TRAILER_LF:
        return c == '\n' ? TRAILER_START : BROKEN;
    case LAST_LF:
        return c == '\n' ? ENDED : BROKEN;
    default:
        return reader->state;
    }
}

int chunk_read(ChunkReader *reader, Slice *input, Slice *ret_body)
{
    while (reader->state != ENDED && reader->state != BROKEN) {
        if (input->len == 0)
            return CHUNK_E_MORE;
        if (reader->state != DATA) {
            reader->state = (uint8_t)step(reader, *input->ptr);
            input->ptr++, input->len--;
            continue;
        }
        size_t n = reader->left < input->len ? (size_t)reader->left : input->len;
        *ret_body = (Slice){input->ptr, n};
        input->ptr += n, input->len -= n;
        reader->left -= n;
        if (reader->left == 0)
            reader->state = DATA_CR;
        return 0;
    }
    return reader->state == ENDED ? CHUNK_E_END : CHUNK_E_BAD;
}

size_t chunk_head(char out[static 20], size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char digits[16];
    size_t n = 0, at = 0;
    do
        digits[n++] = hex[len & 15];
    while (len >>= 4);
    while (n)
        out[at++] = digits[--n];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}
