/* A response head; the first byte is the method of the request that it answers. */
#include "http/head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static HttpHead head;
    size_t used = 0, again = 0;
    if (size == 0)
        return 0;
    uint32_t method = 1u << data[0] % 10;
    Slice bytes = {(const char *)data + 1, size - 1};
    if (http_parse_response(bytes, method, &head, &used))
        return 0;
    if (used == 0 || used > bytes.len || head.status < 100 || head.status > 999)
        abort();
    bool bodiless = method == HTTP_HEAD || head.status < 200 || head.status == 204 || head.status == 304 ||
                    (method == HTTP_CONNECT && head.status < 300);
    if (bodiless != (head.framing == HTTP_NO_BODY) || (head.framing == HTTP_UNTIL_CLOSE && head.keep_alive))
        abort();
    for (size_t i = 0; i < head.n_header; i++)
        http_is_hop_by_hop(&head, head.header[i].name);
    if (http_parse_response((Slice){bytes.ptr, used - 1}, method, &head, &again) != HTTP_E_MORE)
        abort();
    return 0;
}
