/* Compares a text with every form of a token. See form.h. */
#include "secret/form.h"

#define SHORTEST_ENCODED 4 /* shorter tokens are searched raw only: their other forms are in every text */

/* One bit per form, in Scan.begin. */
enum {
    FORM_RAW = 1,
    FORM_PERCENT = 2,
    FORM_JSON = 4,
    FORM_HEX = 8,
    FORM_BASE64 =
        16, /* and the next two: the token begins at bit 0, or its first whole character at bit 4 or 2 */
};
static const unsigned base64_start[] = {0, 4, 2};

enum { NO = 0, PARTIAL = FORM_PARTIAL }; /* what a match returns, beside the length of a hit */

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n hex digits; PARTIAL if the text ends among them, -2 if they are none. */
static int hex_digits(const unsigned char *text, size_t len, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == len)
            return PARTIAL;
        int digit = hex_value(text[i]);
        if (digit < 0)
            return -2;
        value = value << 4 | digit;
    }
    return value;
}

static unsigned base64_at(const Scan *scan, size_t bit)
{
    size_t at = bit / 8;
    unsigned two = (unsigned)scan->token[at] << 8 | (at + 1 < scan->len ? scan->token[at + 1] : 0u);
    return two >> (10 - bit % 8) & 63;
}

static int base64_value(unsigned char c)
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
    size_t n = len < scan->len ? len : scan->len;
    /* not secret from whoever sends it; SECURITY.md says what timing shows */
    if (memcmp(text, scan->token, n) != 0)
        return NO;
    return n == scan->len ? (ssize_t)n : PARTIAL;
}

static ssize_t match_hex(const Scan *scan, const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < 2 * scan->len; i++) {
        if (i == len)
            return PARTIAL;
        if (hex_value(text[i]) != (i % 2 ? scan->token[i / 2] & 15 : scan->token[i / 2] >> 4))
            return NO;
    }
    return (ssize_t)(2 * scan->len);
}

/* Percent-encoding of any subset of the bytes, and '+' for a space. */
static ssize_t match_percent(const Scan *scan, const unsigned char *text, size_t len, bool last)
{
    size_t at = 0;
    for (size_t i = 0; i < scan->len; i++) {
        if (at == len)
            return PARTIAL;
        int byte = text[at] == '%' ? hex_digits(text + at + 1, len - at - 1, 2) : -2;
        if (byte == PARTIAL && !last)
            return PARTIAL;
        if (byte >= 0)
            at += 3;
        else
            byte = text[at++];
        if (byte != scan->token[i] && !(byte == '+' && scan->token[i] == ' '))
            return NO;
    }
    return (ssize_t)at;
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
        return PARTIAL;
    if (text[1] != 'u') {
        const char *known = text[1] ? strchr(letter, text[1]) : NULL;
        if (!known)
            return NO;
        *ret_code = (unsigned char)means[known - letter];
        return 2;
    }
    int high = hex_digits(text + 2, len - 2, 4);
    if (high < 0)
        return high == PARTIAL ? PARTIAL : NO;
    *ret_code = (unsigned)high;
    if (high < 0xD800 || high > 0xDBFF)
        return 6;
    for (size_t i = 0; i < 2; i++) /* a surrogate pair, or nothing */
        if (len < 7 + i || text[6 + i] != "\\u"[i])
            return len < 7 + i ? PARTIAL : NO;
    int low = hex_digits(text + 8, len - 8, 4);
    if (low < 0)
        return low == PARTIAL ? PARTIAL : NO;
    *ret_code = 0x10000u + (((unsigned)high & 0x3FF) << 10 | ((unsigned)low & 0x3FF));
    return 12;
}

/* JSON string escapes of any subset of the characters; \u00XX also for a lone byte XX. */
static ssize_t match_json(const Scan *scan, const unsigned char *text, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < scan->len;) {
        if (at == len)
            return PARTIAL;
        unsigned code = text[at];
        unsigned char bytes[4] = {text[at]};
        size_t n = 1;
        if (text[at] == '\\') {
            ssize_t step = json_escape(text + at, len - at, &code);
            if (step <= 0)
                return step;
            at += (size_t)step;
            n = utf8_encode(code, bytes);
        } else {
            at++;
        }
        if (n <= scan->len - i && memcmp(bytes, scan->token + i, n) == 0) /* not secret: as above */
            i += n;
        else if (code <= 0xFF && scan->token[i] == code)
            i++;
        else
            return NO;
    }
    return (ssize_t)at;
}

/* Bytes at `text` that may stand between two characters of base64: line ends, also JSON-escaped. */
static ssize_t line_end(const unsigned char *text, size_t len)
{
    if (text[0] == '\r' || text[0] == '\n')
        return 1;
    if (text[0] != '\\')
        return NO;
    if (len < 2)
        return PARTIAL;
    return text[1] == 'n' || text[1] == 'r' ? 2 : NO;
}

/* A character of base64 at `text`, also as \/ or %2B, %2F: its length. */
static ssize_t base64_char(const unsigned char *text, size_t len, unsigned want)
{
    if (base64_value(text[0]) == (int)want)
        return 1;
    if (want == 63 && text[0] == '\\')
        return len < 2 ? PARTIAL : text[1] == '/' ? 2 : NO;
    if (want >= 62 && text[0] == '%') {
        int byte = hex_digits(text + 1, len - 1, 2);
        return byte == PARTIAL                                               ? PARTIAL
               : byte >= 0 && base64_value((unsigned char)byte) == (int)want ? 3
                                                                             : NO;
    }
    return NO;
}

/* base64 or base64url: those characters that hold nothing but bits of the token. */
static ssize_t match_base64(const Scan *scan, unsigned start, const unsigned char *text, size_t len)
{
    size_t at = 0, line_ends = 0;
    for (size_t bit = start; bit + 6 <= 8 * scan->len;) {
        if (at == len)
            return PARTIAL;
        ssize_t step = at ? line_end(text + at, len - at) : NO;
        if (step > 0 && (line_ends += (size_t)step) <= scan->len) {
            at += (size_t)step;
            continue;
        }
        if (step != PARTIAL)
            step = base64_char(text + at, len - at, base64_at(scan, bit));
        if (step <= 0)
            return step;
        at += (size_t)step;
        bit += 6;
    }
    return (ssize_t)at;
}

ssize_t form_match(const Scan *scan, unsigned forms, const unsigned char *text, size_t len, bool last)
{
    ssize_t found[7] = {0}, best = NO;
    if (forms & FORM_RAW)
        found[0] = match_raw(scan, text, len);
    if (forms & FORM_PERCENT)
        found[1] = match_percent(scan, text, len, last);
    if (forms & FORM_JSON)
        found[2] = match_json(scan, text, len);
    if (forms & FORM_HEX)
        found[3] = match_hex(scan, text, len);
    for (size_t i = 0; i < COUNT_OF(base64_start); i++)
        if (forms & (unsigned)FORM_BASE64 << i)
            found[4 + i] = match_base64(scan, base64_start[i], text, len);
    for (size_t i = 0; i < COUNT_OF(found); i++) {
        if (found[i] == PARTIAL && !last)
            return PARTIAL;
        if (found[i] > best)
            best = found[i];
    }
    return best;
}

static void mark(Scan *scan, unsigned place, unsigned form, const char *bytes)
{
    for (; *bytes; bytes++)
        scan->begin[(unsigned char)*bytes] |= form << place;
}

/* The byte of the token itself, and what stands for it where a '+' is a space. */
static void mark_byte(Scan *scan, unsigned place, unsigned form, unsigned char byte)
{
    scan->begin[byte] |= form << place;
    if (byte == ' ' && form & FORM_PERCENT)
        mark(scan, place, FORM_PERCENT, "+");
}

static void mark_hex(Scan *scan, unsigned place, unsigned form, unsigned digit)
{
    mark(scan, place, form, (char[]){"0123456789abcdef"[digit & 15], "0123456789ABCDEF"[digit & 15], 0});
}

static void mark_base64(Scan *scan, unsigned place, unsigned form, unsigned value)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (value < 62)
        mark(scan, place, form, (char[]){alphabet[value], 0});
    else
        mark(scan, place, form, value == 62 ? "+-%" : "/_\\%");
}

static void mark_raw(Scan *scan)
{
    static const unsigned place[] = {FIRST, SECOND, THIRD};
    for (size_t i = 0; i < COUNT_OF(place); i++) {
        if (i < scan->len)
            scan->begin[scan->token[i]] |= (unsigned)FORM_RAW << place[i];
        for (unsigned c = 0; i >= scan->len && c < 256; c++)
            scan->begin[c] |= (unsigned)FORM_RAW << place[i];
    }
}

/* What is marked too much costs time, what is missing would let a form through. */
void form_prepare(Scan *scan)
{
    const unsigned char *token = scan->token;
    unsigned both = FORM_PERCENT | FORM_JSON;
    mark_raw(scan);
    if (scan->len < SHORTEST_ENCODED)
        return;
    mark_byte(scan, FIRST, both, token[0]);
    mark_byte(scan, SECOND, both, token[1]);
    mark_byte(scan, THIRD, both, token[2]);

    mark(scan, FIRST, FORM_PERCENT, "%");
    mark(scan, SECOND, FORM_PERCENT, "%");
    mark_hex(scan, SECOND, FORM_PERCENT, token[0] >> 4);
    mark(scan, THIRD, FORM_PERCENT, "%");
    mark_hex(scan, THIRD, FORM_PERCENT, token[0]);
    mark_hex(scan, THIRD, FORM_PERCENT, token[1] >> 4);

    mark(scan, FIRST, FORM_JSON, "\\");
    mark(scan, SECOND, FORM_JSON, "\\u\"/bfnrt");
    mark(scan, THIRD, FORM_JSON, "\\u\"/bfnrt");
    mark_byte(scan, THIRD, FORM_JSON, token[1]);
    mark(scan, THIRD, FORM_JSON, token[0] < 0x80 ? "0" : "0123456789abcdefABCDEF");

    mark_hex(scan, FIRST, FORM_HEX, token[0] >> 4);
    mark_hex(scan, SECOND, FORM_HEX, token[0]);
    mark_hex(scan, THIRD, FORM_HEX, token[1] >> 4);

    for (size_t i = 0; i < COUNT_OF(base64_start); i++) {
        unsigned form = (unsigned)FORM_BASE64 << i;
        mark_base64(scan, FIRST, form, base64_at(scan, base64_start[i]));
        mark_base64(scan, SECOND, form, base64_at(scan, base64_start[i] + 6));
        mark_base64(scan, THIRD, form, base64_at(scan, base64_start[i] + 12));
        mark_base64(scan, THIRD, form, base64_at(scan, base64_start[i] + 6)); /* after a \/ or a line end */
        mark(scan, SECOND, form, "\r\n\\/2");
        mark(scan, THIRD, form, "\r\n\\/2nrBbFfDd");
    }
}
