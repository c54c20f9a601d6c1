/* Compares a text with every form of a token, in blocks whose time does not depend on how much of them is
 * right. See form.h.
 */
#include "secret/form.h"

#define FIRST_BLOCK                                                                                          \
    8            /* bytes or characters that are compared before it is told whether they are equal, and */
#define BLOCK 32 /* so many at a time from there on */

static const unsigned base64_start[] = {0, 4, 2};

enum { NO = 0 }; /* what a match returns, beside the length of a hit */

/* How far a comparison has come. Nobody can tell from its time how much of a block is right. */
typedef struct Tally {
    unsigned left; /* of the block */
    unsigned differ;
} Tally;

#define TALLY ((Tally){FIRST_BLOCK, 0})

/* One more unit, whose bits differ in `differ`. False: it is the end of a block that is not equal. */
static inline bool tally_up(Tally *tally, unsigned differ)
{
    tally->differ |= differ;
    if (--tally->left)
        return true;
    tally->left = BLOCK;
    return tally->differ == 0;
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n hex digits; -1 if they are none, or not all there. */
static int hex_digits(const unsigned char *text, size_t len, size_t n)
{
    int value = 0;
    if (len < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

unsigned form_base64_at(const Scan *scan, unsigned alignment, size_t index)
{
    size_t bit = base64_start[alignment] + 6 * index, at = bit / 8;
    unsigned two = (unsigned)scan->token[at] << 8 | (at + 1 < scan->len ? scan->token[at + 1] : 0u);
    return two >> (10 - bit % 8) & 63;
}

size_t form_base64_len(const Scan *scan, unsigned alignment)
{
    return (8 * scan->len - base64_start[alignment]) / 6;
}

int form_base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static ssize_t match_raw(const Scan *scan, const unsigned char *text, size_t len)
{
    Tally tally = TALLY;
    if (len < scan->len)
        return NO;
    for (size_t i = 0; i < scan->len; i++)
        if (!tally_up(&tally, text[i] ^ scan->token[i]))
            return NO;
    return tally.differ ? NO : (ssize_t)scan->len;
}

static ssize_t match_hex(const Scan *scan, const unsigned char *text, size_t len)
{
    Tally tally = TALLY;
    if (len < 2 * scan->len)
        return NO;
    for (size_t i = 0; i < 2 * scan->len; i++) {
        unsigned want = i % 2 ? scan->token[i / 2] & 15u : scan->token[i / 2] >> 4;
        int digit = hex_value(text[i]);
        if (digit < 0 || !tally_up(&tally, (unsigned)digit ^ want))
            return NO;
    }
    return tally.differ ? NO : (ssize_t)(2 * scan->len);
}

/* Percent-encoding of any subset of the bytes, and '+' for a space. */
static ssize_t match_percent(const Scan *scan, const unsigned char *text, size_t len)
{
    Tally tally = TALLY;
    size_t at = 0;
    for (size_t i = 0; i < scan->len; i++) {
        if (at == len)
            return NO;
        unsigned plus = 0;
        int byte = text[at] == '%' ? hex_digits(text + at + 1, len - at - 1, 2) : -1;
        if (byte >= 0) {
            at += 3;
        } else {
            byte = text[at++];
            plus = byte == '+' ? '+' ^ ' ' : 0;
        }
        unsigned differ = (unsigned)byte ^ scan->token[i];
        if (!tally_up(&tally, (differ != 0) & (differ != plus)))
            return NO;
    }
    return tally.differ ? NO : (ssize_t)at;
}

static size_t utf8_encode(unsigned code, unsigned char out[static 4])
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, code >>= 6)
        out[i] = (unsigned char)(0x80 | (code & 0x3F));
    out[0] = (unsigned char)(0xF00 >> n | code);
    return n;
}

/* A JSON escape at text[0] == '\\': its length, and the code point it means. */
static ssize_t json_escape(const unsigned char *text, size_t len, unsigned *ret_code)
{
    static const char letter[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (len < 2)
        return NO;
    if (text[1] != 'u') {
        const char *known = text[1] ? strchr(letter, text[1]) : NULL;
        if (!known)
            return NO;
        *ret_code = (unsigned char)means[known - letter];
        return 2;
    }
    int high = hex_digits(text + 2, len - 2, 4);
    if (high < 0)
        return NO;
    *ret_code = (unsigned)high;
    if (high < 0xD800 || high > 0xDBFF)
        return 6;
    int low = len < 12 || text[6] != '\\' || text[7] != 'u' ? -1 : hex_digits(text + 8, 4, 4);
    if (low < 0) /* a surrogate pair, or nothing */
        return NO;
    *ret_code = 0x10000u + (((unsigned)high & 0x3FF) << 10 | ((unsigned)low & 0x3FF));
    return 12;
}

/* What a code point takes of the token at `i`: its bytes in UTF-8, or one byte that it is. */
static size_t json_take(const Scan *scan, size_t i, unsigned code, bool escaped, unsigned *ret_differ)
{
    unsigned char bytes[4];
    *ret_differ = code ^ scan->token[i];
    if (!escaped || code < 0x80)
        return 1;
    size_t n = utf8_encode(code, bytes);
    unsigned differ = n > scan->len - i;
    for (size_t k = 0; k < n && !differ; k++)
        differ |= bytes[k] ^ scan->token[i + k];
    if (differ)
        return 1;
    *ret_differ = 0;
    return n;
}

/* JSON string escapes of any subset of the characters; \u00XX also for a lone byte XX. */
static ssize_t match_json(const Scan *scan, const unsigned char *text, size_t len)
{
    Tally tally = TALLY;
    size_t at = 0;
    for (size_t i = 0; i < scan->len;) {
        if (at == len)
            return NO;
        unsigned code = text[at], differ;
        bool escaped = code == '\\';
        ssize_t step = escaped ? json_escape(text + at, len - at, &code) : 1;
        if (step <= 0)
            return NO;
        at += (size_t)step;
        i += json_take(scan, i, code, escaped, &differ);
        if (!tally_up(&tally, differ))
            return NO;
    }
    return tally.differ ? NO : (ssize_t)at;
}

/* Bytes at `text` that may stand between two characters of base64: line ends, also JSON-escaped. */
static size_t line_end(const unsigned char *text, size_t len)
{
    if (text[0] == '\r' || text[0] == '\n')
        return 1;
    return text[0] == '\\' && len > 1 && (text[1] == 'n' || text[1] == 'r') ? 2 : 0;
}

enum { STANDARD = 1, URL = 2 }; /* alphabets: no encoder mixes them */

/* A character of base64 at `text`, also as \/ or %2B, %2F: its length; what it stands for. */
static size_t base64_char(const unsigned char *text, size_t len, int *ret_value, unsigned *alphabets)
{
    unsigned char c = text[0];
    size_t step = 1;
    if (c == '\\' && len > 1 && text[1] == '/') {
        c = '/';
        step = 2;
    } else if (c == '%') {
        int byte = hex_digits(text + 1, len - 1, 2);
        c = byte < 0 || form_base64_value((unsigned char)byte) < 62 ? 0 : (unsigned char)byte;
        step = 3;
    }
    *ret_value = form_base64_value(c);
    if (*ret_value >= 62)
        *alphabets |= c == '+' || c == '/' ? STANDARD : URL;
    return *ret_value >= 0 && *alphabets != (STANDARD | URL) ? step : 0;
}

/* base64 or base64url: those characters that hold nothing but bits of the token. */
static ssize_t match_base64(const Scan *scan, unsigned alignment, const unsigned char *text, size_t len)
{
    Tally tally = TALLY;
    size_t at = 0, line_ends = 0, n = form_base64_len(scan, alignment);
    unsigned alphabets = 0;
    for (size_t i = 0; i < n;) {
        if (at == len)
            return NO;
        size_t step = at ? line_end(text + at, len - at) : 0;
        if (step && (line_ends += step) <= scan->len) {
            at += step;
            continue;
        }
        int value = -1;
        step = base64_char(text + at, len - at, &value, &alphabets);
        if (!step || !tally_up(&tally, (unsigned)value ^ form_base64_at(scan, alignment, i++)))
            return NO;
        at += step;
    }
    return tally.differ ? NO : (ssize_t)at;
}

void form_begin_percent(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW])
{
    memset(out, 0xFF, FIND_WINDOW);
    for (size_t i = 0, at = 0; i < FIND_WINDOW && at < len; i++) {
        int byte = text[at] == '%' ? hex_digits(text + at + 1, len - at - 1, 2) : -1;
        out[i] = byte >= 0 ? (unsigned char)byte : text[at];
        at += byte >= 0 ? 3 : 1;
    }
}

void form_begin_json(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW])
{
    memset(out, 0xFF, FIND_WINDOW);
    for (size_t i = 0, at = 0; i < FIND_WINDOW && at < len; i++) {
        unsigned code = text[at];
        ssize_t step = code == '\\' ? json_escape(text + at, len - at, &code) : 1;
        if (step <= 0)
            return;
        out[i] = code < 0x80 ? (unsigned char)code : 0xFF;
        at += (size_t)step;
    }
}

void form_begin_base64(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW])
{
    size_t at = 0;
    unsigned alphabets = 0;
    memset(out, 0xFF, FIND_WINDOW);
    for (size_t i = 0; i < FIND_WINDOW && at < len;) {
        int value = -1;
        size_t step = line_end(text + at, len - at);
        if (!step) {
            step = base64_char(text + at, len - at, &value, &alphabets);
            if (!step)
                return;
            out[i++] = step == 1 && value < 62 ? text[at] : value == 62 ? '+' : '/';
        }
        at += step;
    }
}

size_t form_match(const Scan *scan, unsigned forms, const unsigned char *text, size_t len)
{
    ssize_t found[4 + BASE64_ALIGNMENTS] = {0}, best = NO;
    if (forms & FORM_RAW)
        found[0] = match_raw(scan, text, len);
    if (forms & FORM_PERCENT)
        found[1] = match_percent(scan, text, len);
    if (forms & FORM_JSON)
        found[2] = match_json(scan, text, len);
    if (forms & FORM_HEX)
        found[3] = match_hex(scan, text, len);
    for (unsigned i = 0; i < BASE64_ALIGNMENTS; i++)
        if (forms & (unsigned)FORM_BASE64 << i)
            found[4 + i] = match_base64(scan, i, text, len);
    for (size_t i = 0; i < COUNT_OF(found); i++)
        best = found[i] > best ? found[i] : best;
    return (size_t)best;
}
