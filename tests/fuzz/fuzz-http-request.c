/* A request head: what is taken is taken the same from every longer input, and is never in two minds. */
#include "http/head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const HttpHead *head, Slice bytes, size_t used)
{
    unsigned hosts = 0, lengths = 0, codings = 0;
    if (used == 0 || used > bytes.len || used > HTTP_MAX_HEAD || head->n_header > HTTP_MAX_HEADERS)
        abort();
    if (memcmp(bytes.ptr + used - 4, "\r\n\r\n", 4) != 0)
        abort();
    for (size_t i = 0; i < head->n_header; i++) {
        Slice name = head->header[i].name, value = head->header[i].value;
        hosts += slice_is_nocase(name, "host");
        lengths += slice_is_nocase(name, "content-length");
        codings += slice_is_nocase(name, "transfer-encoding");
        for (size_t k = 0; k < value.len; k++)
            if (memchr("\r\n\0", value.ptr[k], 3))
                abort();
        if (name.len == 0 || memchr(name.ptr, ' ', name.len) || memchr(name.ptr, ':', name.len))
            abort();
    }
    if (hosts > 1 || lengths + codings > 1 || (head->framing == HTTP_CHUNKED) != (codings == 1) ||
        (head->framing == HTTP_LENGTH) != (lengths == 1) || (codings && head->minor == 0) ||
        (head->minor == 1 && hosts == 0) || head->target.len == 0 || head->target.len > HTTP_MAX_TARGET)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static HttpHead head;
    Slice bytes = {(const char *)data, size};
    size_t used = 0, again = 0;
    int r = http_parse_request(bytes, &head, &used);
    if (r) {
        if (http_error_status(r) < 400 || !http_error_text(r)[0])
            abort();
        return 0;
    }
    check(&head, bytes, used);
    if (http_parse_request((Slice){bytes.ptr, used}, &head, &again) || again != used)
        abort();
    if (http_parse_request((Slice){bytes.ptr, used - 1}, &head, &again) != HTTP_E_MORE)
        abort();
    return 0;
}
