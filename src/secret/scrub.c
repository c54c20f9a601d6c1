/* Searches bytes that stream by for the forms of a token, and overwrites them. The token is opened into the
 * arena for as long as one piece is searched. See scrub.h; what a form is, form.h.
 */
#include "secret/scrub.h"

#include "base/mem.h"
#include "secret/form.h"

#include <errno.h>

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
    form_prepare(scan);
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
            ssize_t n = form_match(scan, forms, text + at, len - at, last);
            if (n == FORM_PARTIAL)
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

static Slice search_piece(Scrub *scrub, const Scan *scan, Slice piece, bool last, unsigned *ret_hits)
{
    char *bytes = (char *)piece.ptr;
    size_t len = piece.len;
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
    return (Slice){data, at};
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
    *ret_out = search_piece(scrub, scan, (Slice){bytes, len}, last, ret_hits);
    secret_release(scan, scan_size(scrub->forms));
    return 0;
}

int scrub_first(Scrub *scrub, const ScrubForms *forms, Slice head, Slice piece, bool last, Slice *ret_out,
                unsigned *ret_hits)
{
    Scan *scan;
    size_t cover = 0;
    scrub_begin(scrub, forms);
    int r = scan_open(forms, &scan);
    if (r)
        return r;
    scan_text(scan, (unsigned char *)head.ptr, head.len, true, &cover, ret_hits);
    *ret_out = piece.len ? search_piece(scrub, scan, piece, last, ret_hits) : (Slice){"", 0};
    secret_release(scan, scan_size(forms));
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
