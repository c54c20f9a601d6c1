/* Searches bytes that stream by for the forms of a token, and overwrites them. The token is opened into the
 * arena for as long as one piece is searched. See scrub.h; what a form is, form.h.
 */
#include "secret/scrub.h"

#include "base/mem.h"
#include "secret/find.h"

#include <errno.h>

struct ScrubForms {
    Sealed *token;
};

struct Scrub {
    const ScrubForms *forms;
    char *room;           /* where held bytes and the next piece come together */
    size_t size;          /* of room */
    size_t held_at, held; /* in room */
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
    find_prepare(scan);
    *ret_scan = scan;
    return 0;
}

/* What a stream holds back: a form that begins before that is there whole. Whatever the bytes are. */
static size_t hold_of(const ScrubForms *forms)
{
    return scrub_longest(forms) - 1;
}

/* Overwrites what lies in `end` bytes of each form that begins there, and tells how much of the last one lies
 * behind. Those bytes are overwritten once they are searched: a form may begin among them. *cover: of one
 * that began before.
 */
static void scan_text(const Scan *scan, FindIn in, Slice whole, size_t end, size_t *cover, unsigned *hits)
{
    Hits found = {0};
    char *text = (char *)whole.ptr;
    size_t covered = *cover;
    find_forms(scan, in, whole, end, &found);
    memset(text, '*', covered < end ? covered : end);
    for (size_t i = 0; i < found.n; i++) {
        size_t from = found.hit[i].at, to = from + found.hit[i].len;
        if (to <= covered) /* the end of one that was counted */
            continue;
        memset(text + from, '*', (to < end ? to : end) - from);
        covered = to;
        ++*hits;
    }
    hits_done(&found);
    *cover = covered > end ? covered - end : 0;
}

int scrub_forms_new(Slice token, ScrubForms **ret_forms)
{
    Sealed *sealed;
    if (token.len > SECRET_MAX_TOKEN)
        return -E2BIG;
    Slice seen = slice_trim(token); /* by a server: blanks around a header's value are none of it */
    if (seen.len < SECRET_MIN_TOKEN)
        return -EINVAL;
    int r = secret_seal(seen, &sealed);
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
    return 9 * secret_len(
                   forms->token); /* base64 whose every character is \u00XX, and as many line ends as bytes */
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
    char *data = (char *)piece.ptr;
    size_t total = scrub->held + piece.len, hold = last ? 0 : hold_of(scrub->forms);
    if (scrub->held || hold) {
        settle(scrub, total);
        if (piece.len) {
            memcpy(scrub->room + scrub->held, data, piece.len);
            explicit_bzero(data, piece.len);
        }
        data = scrub->room;
    }
    size_t end = total > hold ? total - hold : 0;
    scan_text(scan, FIND_IN_BODY, (Slice){data, total}, end, &scrub->cover, ret_hits);
    scrub->held = total - end;
    scrub->held_at = end;
    return (Slice){data, end};
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
    scan_text(scan, FIND_IN_HEAD, head, head.len, &cover, ret_hits);
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
    scan_text(scan, FIND_IN_BODY, (Slice){bytes, len}, len, &cover, &hits);
    secret_release(scan, scan_size(forms));
    return hits;
}
