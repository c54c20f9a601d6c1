/* However an answer is cut, the same bytes come out of it; they grow by no more than is said; and where no
 * link was rewritten, none has changed. The first byte says how it is cut. */
#include "http/paging.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 16384

static Paging paging;

/* In pieces whose sizes follow from `cut`; 0: whole. Returns how many bytes came out. */
static size_t rewrite(const char *in, size_t len, unsigned cut, char *out)
{
    size_t at = 0, n = 0;
    static PagingUrl own;
    if (paging_url(&own, "https://a.b/v3", "https://a.b:443/v3"))
        abort();
    paging_begin(&paging, &own, "http://127.0.0.1:4711/a");
    do {
        size_t part = cut ? 1 + (at * 7 + cut) % cut : len;
        part = part < len - at ? part : len - at;
        Slice made = paging_piece(&paging, (Slice){in + at, part}, at + part == len, out + n);
        if (made.len > part + PAGING_GROWTH || (made.ptr != out + n && made.ptr != in + at))
            abort();
        if (made.ptr != out + n)
            memcpy(out + n, made.ptr, made.len);
        at += part;
        n += made.len;
    } while (at < len);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[MOST + 2 * PAGING_GROWTH], pieces[MOST + 2 * PAGING_GROWTH];
    if (size < 1 || size > MOST)
        return 0;
    const char *in = (const char *)data + 1;
    size_t len = size - 1, n = rewrite(in, len, 0, whole), links = paging.links;
    if (links > PAGING_MAX_LINKS || (links == 0 && (n != len || (len && memcmp(in, whole, len) != 0))))
        abort();
    if (rewrite(in, len, data[0] % 64 + 1, pieces) != n || paging.links != links ||
        memcmp(whole, pieces, n) != 0)
        abort();
    return 0;
}
