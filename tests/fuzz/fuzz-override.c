/* A method override in a form: found or not, whole or byte by byte, and whatever else is in the head. */
#include "keeper/override.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool found(const HttpHead *head, Slice body, size_t step)
{
    OverrideScan scan;
    override_begin(&scan, head);
    for (size_t at = 0; at < body.len; at += step)
        if (override_found(&scan, (Slice){body.ptr + at, body.len - at < step ? body.len - at : step}))
            return true;
    return false;
}

/* The first line is the type; without one there is none. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static HttpHead head;
    Slice body = {(const char *)data, size}, type = {"", 0};
    bool typed = slice_cut(body, '\n', &type, &body);
    if (!typed)
        body = (Slice){(const char *)data, size};
    head.header[0] = (HttpHeader){SLICE_LITERAL("Content-Type"), type};
    head.n_header = typed;
    bool whole = found(&head, body, size + 1);
    for (size_t step = 1; step < 12; step++)
        if (found(&head, body, step) != whole)
            abort();
    /* A parameter that is plainly there is never overlooked. */
    static const char plain[] = "&_method=DELETE";
    char longer[4096];
    if (!typed && body.len < sizeof(longer) - sizeof(plain) && !memchr(data, '%', size)) {
        memcpy(longer, body.ptr, body.len);
        memcpy(longer + body.len, plain, sizeof(plain) - 1);
        if (!found(&head, (Slice){longer, body.len + sizeof(plain) - 1}, 7))
            abort();
    }
    return 0;
}
