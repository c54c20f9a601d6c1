/* Finds every form of a token in bytes that stream by, and overwrites it. See scrub.h.
 *
 * No form is written out anywhere: each position that could begin one is compared by decoding the text, or by
 * encoding the token one character at a time. So any mixture of escapes is found, and only the raw token is
 * ever opened, into the arena, for as long as one piece is searched.
 */
#include "secret/scrub.h"

#include "base/mem.h"

#include <errno.h>

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

/* Which forms a byte can be the first (bits 0 to 7), second (8 to 15) or third byte (16 to 23) of. */
enum { FIRST = 0, SECOND = 8, THIRD = 16 };

typedef struct Scan { /* in the arena while a piece is searched */
    uint32_t begin[256];
    size_t len;
    unsigned char token[];
} Scan;

struct ScrubForms {
    Sealed *token;
};

struct Scrub {
    const ScrubForms *forms;
    char *room;           /* where held bytes and the next piece come together */
    size_t size;          /* of room */
    size_t held_at, held; /* in room: may be the beginning of a form */
    size_t cover;         /* so many of the held bytes belong to a hit already */
};

enum { NO = 0, PARTIAL = -1 }; /* what a match returns, beside the length of a hit */

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
        if (n <= scan->len - i && memcmp(bytes, scan->token + i, n) == 0)
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

/* The longest form that begins at `text`, among those of `forms`; PARTIAL while more bytes could make one. */
static ssize_t match(const Scan *scan, unsigned forms, const unsigned char *text, size_t len, bool last)
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
    for (size_t i = 0; i < COUNT_OF(place); i++)
        for (unsigned c = 0; c < 256; c++)
            if (i >= scan->len || c == scan->token[i])
                scan->begin[c] |= (unsigned)FORM_RAW << place[i];
}

/* Bytes that cannot begin a form are passed by with these alone. What is marked too much costs time, what is
 * missing would let a form through. */
static void scan_prepare(Scan *scan)
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

static size_t scan_size(const ScrubForms *forms)
{
    return sizeof(Scan) + secret_len(forms->token);
}

static int scan_open(const ScrubForms *forms, Scan **ret_scan)
{
    Scan *scan = secret_alloc(scan_size(forms));
    if (!scan)
        return -ENOMEM;
    scan->len = secret_len(forms->token);
    int r = secret_open(forms->token, (char *)scan->token, scan->len);
    if (r) {
        secret_release(scan, scan_size(forms));
        return r;
    }
    scan_prepare(scan);
    *ret_scan = scan;
    return 0;
}

/* The forms that can begin at `text`, as far as its first three bytes tell. */
static unsigned forms_at(const Scan *scan, const unsigned char *text, size_t len)
{
    unsigned forms = scan->begin[text[0]];
    if (len > 1)
        forms &= scan->begin[text[1]] >> SECOND;
    if (len > 2)
        forms &= scan->begin[text[2]] >> THIRD;
    return forms & 0xFF;
}

/* The next position where a form can begin, or one near the end. Four positions a turn, each table entry read
 * once. */
static size_t skip(const Scan *scan, const unsigned char *text, size_t at, size_t len)
{
    const uint32_t *begin = scan->begin;
    for (; at + 6 <= len; at += 4) {
        uint32_t a = begin[text[at]], b = begin[text[at + 1]], c = begin[text[at + 2]],
                 d = begin[text[at + 3]];
        uint32_t e = begin[text[at + 4]], f = begin[text[at + 5]];
        uint32_t any = (a & b >> SECOND & c >> THIRD) | (b & c >> SECOND & d >> THIRD) |
                       (c & d >> SECOND & e >> THIRD) | (d & e >> SECOND & f >> THIRD);
        if (any & 0xFF)
            break;
    }
    return at;
}

/* Overwrites the hits in text and returns from where on it has to be held back (`len`: nothing). A byte is
 * overwritten once the search is past it, so that hits may overlap. *cover: so many bytes at the front belong
 * to a hit. */
static size_t scan_text(const Scan *scan, unsigned char *text, size_t len, bool last, size_t *cover,
                        unsigned *hits)
{
    size_t at = 0;
    for (; at < len; at++) {
        if (at >= *cover)
            at = skip(scan, text, at, len);
        unsigned forms = at < len ? forms_at(scan, text + at, len - at) : 0;
        if (forms) {
            ssize_t n = match(scan, forms, text + at, len - at, last);
            if (n == PARTIAL)
                break;
            if (n > 0 && at + (size_t)n > *cover) { /* else the end of one that was counted */
                *cover = at + (size_t)n;
                ++*hits;
            }
        }
        if (at < *cover)
            text[at] = '*';
    }
    *cover = *cover > at ? *cover - at : 0;
    return at;
}

int scrub_forms_new(Slice token, ScrubForms **ret_forms)
{
    if (token.len == 0)
        return -EINVAL;
    Sealed *sealed;
    int r = secret_seal(token, &sealed);
    if (r)
        return r;
    *ret_forms = MEM_NEW(ScrubForms);
    (*ret_forms)->token = sealed;
    return 0;
}

ScrubForms *scrub_forms_free(ScrubForms *forms)
{
    if (forms)
        secret_free(forms->token);
    mem_free(forms);
    return NULL;
}

size_t scrub_longest(const ScrubForms *forms)
{
    return 6 * secret_len(forms->token); /* \u00XX for every byte */
}

Scrub *scrub_new(void)
{
    return MEM_NEW(Scrub);
}

Scrub *scrub_free(Scrub *scrub)
{
    if (!scrub)
        return NULL;
    if (scrub->room)
        explicit_bzero(scrub->room, scrub->size);
    mem_free(scrub->room);
    mem_free(scrub);
    return NULL;
}

void scrub_begin(Scrub *scrub, const ScrubForms *forms)
{
    if (scrub->held)
        explicit_bzero(scrub->room + scrub->held_at, scrub->held);
    scrub->forms = forms;
    scrub->held_at = scrub->held = scrub->cover = 0;
}

/* Makes the room `need` bytes large, with what is held at its front and nothing of it elsewhere. */
static void settle(Scrub *scrub, size_t need)
{
    char *old = scrub->room;
    size_t end = scrub->held_at + scrub->held;
    if (need > scrub->size) {
        scrub->size = need < 4096 ? 4096 : need;
        scrub->room = mem_new(scrub->size, 1);
        if (scrub->held)
            memcpy(scrub->room, old + scrub->held_at, scrub->held);
        if (old)
            explicit_bzero(old, end);
        mem_free(old);
    } else if (scrub->held_at) {
        memmove(scrub->room, scrub->room + scrub->held_at, scrub->held);
        explicit_bzero(scrub->room + scrub->held, end - scrub->held);
    }
    scrub->held_at = 0;
}

int scrub_piece(Scrub *scrub, char *bytes, size_t len, bool last, Slice *ret_out, unsigned *ret_hits)
{
    Scan *scan;
    if (!scrub->forms)
        return -EINVAL; /* given up: nothing goes through unsearched */
    if (scrub->held + len == 0) {
        *ret_out = (Slice){"", 0};
        return 0;
    }
    int r = scan_open(scrub->forms, &scan);
    if (r)
        return r;
    bool in_place = scrub->held == 0;
    char *data = bytes;
    size_t total = scrub->held + len;
    if (!in_place) {
        settle(scrub, total);
        if (len) {
            memcpy(scrub->room + scrub->held, bytes, len);
            explicit_bzero(bytes, len); /* it may hold the rest of what is held */
        }
        data = scrub->room;
    }
    size_t at = scan_text(scan, (unsigned char *)data, total, last, &scrub->cover, ret_hits);
    secret_release(scan, scan_size(scrub->forms));
    scrub->held = total - at;
    scrub->held_at = in_place ? 0 : at;
    if (in_place && scrub->held) {
        size_t held = scrub->held;
        scrub->held = 0; /* nothing in the room to be kept yet */
        settle(scrub, held);
        scrub->held = held;
        memcpy(scrub->room, data + at, held);
        explicit_bzero(data + at, held);
    }
    *ret_out = (Slice){data, at};
    return 0;
}

unsigned scrub_whole(const ScrubForms *forms, char *bytes, size_t len)
{
    Scan *scan;
    unsigned hits = 0;
    size_t cover = 0;
    if (scan_open(forms, &scan)) {
        memset(bytes, '*', len); /* what cannot be searched does not go on */
        return 1;
    }
    scan_text(scan, (unsigned char *)bytes, len, true, &cover, &hits);
    secret_release(scan, scan_size(forms));
    return hits;
}
