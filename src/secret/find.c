/* Where forms of the token begin: a filter over words, and one over escapes. See find.h.
 *
 * A form whose first characters stand as they are (step + 7 of them: so many that one of the words that are
 * looked at lies among them, wherever the form begins) is found by that word. One with an escape among them
 * is found from its first escape.
 */
#include "secret/find.h"

#include "base/mem.h"

#include <sodium.h>

typedef unsigned char Block __attribute__((vector_size(16)));
typedef uint64_t Halves __attribute__((vector_size(16)));

#define FOLD 0x2020202020202020u /* of letters, both cases: hex has both */

typedef struct Finder {
    const Scan *scan;
    FindIn in;
    const unsigned char *text;
    size_t len, end;
    size_t percent, json, base64; /* what begins before was looked at, for this kind of form */
    Hits *hits;
} Finder;

static uint64_t fold_word(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word | FOLD;
}

static unsigned slot_of(const Scan *scan, uint64_t folded)
{
    return (unsigned)(folded * scan->key >> 52);
}

/* A key that nobody can learn anything about before it is another one. */
static uint64_t next_key(void)
{
    static uint64_t state;
    if (!state)
        randombytes_buf(&state, sizeof(state));
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) | 1;
}

/* The windows of a form whose first characters are these. */
static void add_windows(Scan *scan, unsigned forms, const unsigned char *first)
{
    for (size_t at = 0; at < scan->step; at++) {
        uint64_t folded = fold_word(first + at);
        unsigned slot = slot_of(scan, folded);
        scan->filter[slot / 64] |= (uint64_t)1 << slot % 64;
        scan->window[scan->n_window++] = (Window){folded, forms, (uint32_t)at};
    }
}

static void add_base64(Scan *scan, unsigned alignment)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char plain[FIND_STEP + FIND_WINDOW], url[sizeof(plain)];
    bool differ = false;
    for (size_t i = 0; i < scan->step + FIND_WINDOW - 1; i++) {
        unsigned value = form_base64_at(scan, alignment, i);
        plain[i] = (unsigned char)(value < 62 ? alphabet[value] : value == 62 ? '+' : '/');
        url[i] = (unsigned char)(value < 62 ? alphabet[value] : value == 62 ? '-' : '_');
        differ |= value >= 62;
    }
    scan->first[1 + alignment] = fold_word(plain);
    add_windows(scan, (unsigned)FORM_BASE64 << alignment, plain);
    if (differ)
        add_windows(scan, (unsigned)FORM_BASE64 << alignment, url);
    sodium_memzero(plain, sizeof(plain));
    sodium_memzero(url, sizeof(url));
}

void find_prepare(Scan *scan)
{
    unsigned char hex[FIND_STEP + FIND_WINDOW];
    const size_t len = scan->len;
    scan->step = len >= 15 ? 8 : len >= 11 ? 4 : len >= 9 ? 2 : 1;
    scan->reach = scan->step + FIND_WINDOW - 2;
    scan->key = next_key();
    for (size_t i = 0; i < len; i++) {
        scan->wide |= scan->token[i] >= 0x80;
        scan->letters |= scan->token[i] < ' ' || strchr("\"\\/", scan->token[i]);
        scan->space |= scan->token[i] == ' ';
    }
    scan->first[0] = fold_word(scan->token);
    add_windows(scan, FORM_RAW | FORM_PERCENT | FORM_JSON, scan->token);
    for (size_t i = 0; i < sizeof(hex); i++)
        hex[i] = (unsigned char)"0123456789abcdef"[i % 2 ? scan->token[i / 2] & 15 : scan->token[i / 2] >> 4];
    add_windows(scan, FORM_HEX, hex);
    for (unsigned i = 0; i < BASE64_ALIGNMENTS; i++)
        add_base64(scan, i);
    sodium_memzero(hex, sizeof(hex));
}

/* Sorted: they come nearly so. */
static void add_hit(Hits *hits, Hit hit)
{
    MEM_PUSH(hits->hit, hits->n, hit);
    for (size_t i = hits->n - 1; i && hits->hit[i - 1].at > hits->hit[i].at; i--) {
        hits->hit[i] = hits->hit[i - 1];
        hits->hit[i - 1] = hit;
    }
}

void hits_done(Hits *hits)
{
    mem_free(hits->hit);
    *hits = (Hits){0};
}

static void look_at(const Finder *finder, size_t at, unsigned forms)
{
    size_t n = form_match(finder->scan, forms, finder->text + at, finder->len - at);
    if (n)
        add_hit(finder->hits, (Hit){at, n});
}

/* A word of the text that the filter does not let pass. */
static __attribute__((noinline)) void look_at_word(const Finder *finder, size_t at, uint64_t folded)
{
    const Scan *scan = finder->scan;
    for (size_t i = 0; i < scan->n_window; i++) {
        const Window *window = &scan->window[i];
        if (window->folded == folded && window->at <= at && at - window->at < finder->end)
            look_at(finder, at - window->at, window->forms);
    }
}

#define MAX_REACH (FIND_STEP + FIND_WINDOW - 2)

/* An escape, and what stands before it and was not looked at from an escape before: decoded, so that each
 * place is compared at once, the whole of its first characters. */
typedef struct Around {
    size_t first, n; /* where the bytes begin in the text, how many stand before the escape */
    unsigned char bytes[MAX_REACH + FIND_WINDOW];
} Around;

typedef void Decode(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW]);

static void look_around(const Finder *finder, size_t escape, size_t *from, Decode *decode, Around *around)
{
    size_t first = escape > finder->scan->reach ? escape - finder->scan->reach : 0;
    around->first = first > *from ? first : *from;
    around->n = escape - around->first;
    memcpy(around->bytes, finder->text + around->first, around->n);
    decode(finder->text + escape, finder->len - escape, around->bytes + around->n);
    *from = escape + 1;
}

/* The places whose first characters are those of the token or of its base64, which `first` says. */
static void compare_around(const Finder *finder, const Around *around, const uint64_t *first, size_t n_first,
                           unsigned forms)
{
    for (size_t i = 0; i <= around->n && around->first + i < finder->end; i++) {
        uint64_t folded = fold_word(around->bytes + i);
        for (size_t k = 0; k < n_first; k++)
            if (first[k] == folded)
                look_at(finder, around->first + i, forms << k);
    }
}

/* Where a form can write the same in several ways: place by place. */
static void look_before_each(Finder *finder, size_t escape, size_t *from, unsigned form)
{
    size_t first = escape > finder->scan->reach ? escape - finder->scan->reach : 0;
    for (size_t at = first > *from ? first : *from; at <= escape && at < finder->end; at++)
        look_at(finder, at, form);
    *from = escape + 1;
}

static void look_before(Finder *finder, size_t escape, size_t *from, Decode *decode, unsigned form)
{
    Around around;
    look_around(finder, escape, from, decode, &around);
    compare_around(finder, &around, &finder->scan->first[0], 1, form);
}

static void look_before_percent(Finder *finder, size_t escape)
{
    if (finder->scan->space) /* '+' is one, or itself */
        look_before_each(finder, escape, &finder->percent, FORM_PERCENT);
    else
        look_before(finder, escape, &finder->percent, form_begin_percent, FORM_PERCENT);
}

static void look_before_json(Finder *finder, size_t escape)
{
    if (finder->scan->wide) /* a byte, or a character of several */
        look_before_each(finder, escape, &finder->json, FORM_JSON);
    else
        look_before(finder, escape, &finder->json, form_begin_json, FORM_JSON);
}

static void look_before_base64(Finder *finder, size_t escape)
{
    Around around;
    look_around(finder, escape, &finder->base64, form_begin_base64, &around);
    for (size_t i = 0; i < around.n; i++)
        around.bytes[i] = around.bytes[i] == '-' ? '+' : around.bytes[i] == '_' ? '/' : around.bytes[i];
    compare_around(finder, &around, &finder->scan->first[1], BASE64_ALIGNMENTS, FORM_BASE64);
}

static bool is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static void look_at_percent(Finder *finder, size_t at)
{
    const unsigned char *text = finder->text + at;
    if (finder->len - at < 3 || !is_hex(text[1]) || !is_hex(text[2]))
        return;
    look_before_percent(finder, at);
    unsigned char low = text[2] | 0x20;
    if ((text[1] == '2' && (low == 'b' || low == 'f' || low == 'd')) || (text[1] == '5' && low == 'f'))
        look_before_base64(finder, at);
}

/* Whether what stands around a line end can be base64: as many characters of it as the shortest form has, or
 * an escape that stands for more. */
static bool is_inside_base64(const Finder *finder, size_t at, size_t len)
{
    const unsigned char *text = finder->text;
    size_t n = 0;
    for (size_t i = at; i && n < FIND_WINDOW && form_base64_value(text[i - 1]) >= 0; i--)
        n++;
    if (n == 0)
        return false;
    for (size_t i = at + len; i < finder->len && n < FIND_WINDOW; i++, n++)
        if (form_base64_value(text[i]) < 0)
            return text[i] == '\\' || text[i] == '%' || text[i] == '\r' || text[i] == '\n';
    return n >= FIND_WINDOW;
}

/* A line end, `len` bytes of it: of interest inside base64 alone. */
static void look_at_line_end(Finder *finder, size_t at, size_t len)
{
    if (finder->in != FIND_IN_HEAD && is_inside_base64(finder, at, len))
        look_before_base64(finder, at);
}

static void look_at_backslash(Finder *finder, size_t at)
{
    const Scan *scan = finder->scan;
    const unsigned char *text = finder->text + at;
    if (finder->len - at < 2)
        return;
    unsigned char next = text[1];
    bool matters = next == 'u' ? scan->wide || (finder->len - at >= 4 && text[2] == '0' && text[3] == '0')
                               : scan->letters;
    if (matters)
        look_before_json(finder, at);
    if (next == '/')
        look_before_base64(finder, at);
    else if (next == 'n' || next == 'r')
        look_at_line_end(finder, at, 2);
}

static void look_at_escape(Finder *finder, size_t at)
{
    switch (finder->text[at]) {
    case '%':
        look_at_percent(finder, at);
        break;
    case '\\':
        look_at_backslash(finder, at);
        break;
    case '\r':
    case '\n':
        look_at_line_end(finder, at, 1);
        break;
    case '+':
        if (finder->scan->space)
            look_before_percent(finder, at);
        break;
    default:
        break;
    }
}

static __attribute__((noinline)) void look_at_escapes(Finder *finder, size_t at, size_t to)
{
    for (; at < to; at++)
        look_at_escape(finder, at);
}

static bool has_escape(const Finder *finder, const unsigned char *text)
{
    Block block;
    memcpy(&block, text, sizeof(block));
    Block found = (Block)((block == '%') | (block == '\\'));
    if (finder->in != FIND_IN_HEAD)
        found |= (Block)((block == '\n') | (block == '\r'));
    if (finder->scan->space)
        found |= (Block)(block == '+');
    Halves halves = (Halves)found;
    return halves[0] | halves[1];
}

static inline void look_up(const Finder *finder, size_t at)
{
    const Scan *scan = finder->scan;
    uint64_t folded = fold_word(finder->text + at);
    unsigned slot = slot_of(scan, folded);
    if (scan->filter[slot / 64] >> slot % 64 & 1)
        look_at_word(finder, at, folded);
}

void find_forms(const Scan *scan, FindIn in, Slice text, size_t end, Hits *hits)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    Finder finder = {.scan = scan, .in = in, .text = bytes, .len = text.len, .end = end, .hits = hits};
    size_t to = end + scan->reach < text.len ? end + scan->reach : text.len; /* behind are later ones' */
    size_t at = 0;
    for (; at < to && at + sizeof(Block) + FIND_WINDOW <= text.len; at += sizeof(Block)) {
        if (has_escape(&finder, bytes + at))
            look_at_escapes(&finder, at, at + sizeof(Block));
        for (size_t i = 0; i < sizeof(Block); i += scan->step)
            look_up(&finder, at + i);
    }
    look_at_escapes(&finder, at, to > at ? to : at);
    for (; at < to && at + FIND_WINDOW <= text.len; at += scan->step)
        look_up(&finder, at);
}
