/* No bytes are a lease under a key that nobody was told, and narrowing keeps what it is given. */
#include "lease/lease.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key that corpus/lease/genuine and genuine-narrowed were issued with, and one that nothing was. */
static const unsigned char known[LEASE_KEY] = "the key of the fuzzer's corpus!!",
                           unknown[LEASE_KEY] = "nobody's";

static void check_narrowed(const LeaseClaims *before, const LeaseClaims *after)
{
    if (after->n_caveat != before->n_caveat + 1 || memcmp(after->id, before->id, LEASE_ID) != 0 ||
        strcmp(after->caveat[before->n_caveat], "method=GET") != 0)
        abort();
    for (size_t i = 0; i < before->n_caveat; i++)
        if (strcmp(after->caveat[i], before->caveat[i]) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static LeaseClaims claims, more;
    char narrowed[LEASE_MAX_TEXT], again[LEASE_MAX_TEXT];
    Slice text = {(const char *)data, size};
    if (lease_verify(unknown, text, &claims) == 0)
        abort();
    int r = lease_verify(known, text, &claims), n = lease_narrow(text, "method=GET", narrowed);
    if (n == 0) {
        if (lease_verify(known, slice_of(narrowed), &more) != r ||
            lease_narrow(slice_of(narrowed), "", again) == 0)
            abort();
        if (r == 0)
            check_narrowed(&claims, &more);
    } else if (n == LEASE_E_FORMAT && r == 0) {
        abort();
    }
    return 0;
}
