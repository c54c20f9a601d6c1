/* The search for a token: what its filter finds is what comparing every place with every form finds, and in
 * pieces a text comes out as it does at once. The first byte says how many of the next are the token.
 */
#include "base/mem.h"
#include "secret/find.h"
#include "secret/scrub.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_TEXT (16u << 10)

static void compare(Slice token, const unsigned char *text, size_t len, size_t end)
{
    Scan *scan = mem_new(1, sizeof(Scan) + token.len + FIND_WINDOW);
    Hits hits = {0};
    size_t n = 0;
    scan->len = token.len;
    memcpy(scan->token, token.ptr, token.len);
    find_prepare(scan);
    find_forms(scan, FIND_IN_BODY, (Slice){(const char *)text, len}, end, &hits);
    for (size_t at = 0; at < end; at++) {
        size_t want = form_match(scan, ~0u, text + at, len - at), most = 0;
        for (; n < hits.n && hits.hit[n].at == at; n++)
            most = hits.hit[n].len > most ? hits.hit[n].len : most;
        if (most != want || want > 9 * token.len)
            abort();
    }
    if (n != hits.n)
        abort();
    hits_done(&hits);
    mem_free(scan);
}

static void in_pieces(const ScrubForms *forms, const unsigned char *text, size_t len, size_t step)
{
    char whole[MAX_TEXT], piece[MAX_TEXT], joined[MAX_TEXT];
    unsigned hits = 0;
    size_t n = 0;
    memcpy(whole, text, len);
    scrub_whole(forms, whole, len);
    Scrub *scrub = scrub_new();
    scrub_begin(scrub, forms);
    for (size_t at = 0; at < len; at += step) {
        size_t take = len - at < step ? len - at : step;
        Slice out;
        memcpy(piece, text + at, take);
        if (scrub_piece(scrub, piece, take, at + take == len, &out, &hits) || n + out.len > len)
            abort();
        memcpy(joined + n, out.ptr, out.len);
        n += out.len;
    }
    scrub_free(scrub);
    if (n != len || memcmp(joined, whole, len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started && secret_init(256u << 10, NULL))
        abort();
    started = true;
    if (size < 2 + SECRET_MIN_TOKEN || size > MAX_TEXT)
        return 0;
    size_t len = SECRET_MIN_TOKEN + data[0] % 48, step = 1u + data[1] % 64;
    if (size < 2 + len)
        return 0;
    Slice token = {(const char *)data + 2, len};
    const unsigned char *text = data + 2 + len;
    size_t left = size - 2 - len;
    compare(token, text, left, left);
    compare(token, text, left, left / 2);
    ScrubForms *forms;
    if (scrub_forms_new(token, &forms)) {
        if (slice_trim(token).len >= SECRET_MIN_TOKEN)
            abort();
        return 0;
    }
    in_pieces(forms, text, left, step);
    scrub_forms_free(forms);
    return 0;
}
