/* Headers (without the start line), an empty line, and a query: what is found is bounded, and whatever is
 * found in a query is gone from the target. */
#include "http/credential.h"
#include "http/target.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_gone(Slice query)
{
    static char text[HTTP_MAX_TARGET + 1], found[HTTP_MAX_CREDENTIAL];
    static Target target;
    static HttpHead none;
    size_t len;
    Fault fault;
    if (query.len > HTTP_MAX_TARGET - 2)
        return;
    memcpy(text, "/?", 2);
    memcpy(text + 2, query.ptr, query.len);
    if (target_normalise((Slice){text, query.len + 2}, &target, &fault))
        return;
    if (http_find_credential(&none, (Slice){"", 0}, target_query(&target), found, &len) !=
        HTTP_CREDENTIAL_NONE)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\n";
    static char text[HTTP_MAX_HEAD], found[HTTP_MAX_CREDENTIAL];
    static HttpHead head;
    size_t used, len = 0, n = sizeof(start) - 1;
    if (size > sizeof(text) - n)
        return 0;
    memcpy(text, start, n);
    memcpy(text + n, data, size);
    if (http_parse_request((Slice){text, n + size}, &head, &used))
        return 0;
    Slice query = {text + used, n + size - used};
    int r = http_find_credential(&head, SLICE_LITERAL("X-Own"), query, found, &len);
    if (r < 0 || r > HTTP_CREDENTIAL_BAD || (r == 0 && (len == 0 || len > HTTP_MAX_CREDENTIAL)))
        abort();
    r = http_find_proxy_password(&head, found, &len);
    if (r < 0 || r > HTTP_CREDENTIAL_BAD || (r == 0 && (len == 0 || len > HTTP_MAX_CREDENTIAL)))
        abort();
    check_gone(query);
    return 0;
}
