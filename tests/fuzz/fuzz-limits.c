/* Header lines of answers, one answer after the other (an empty line between them), from a provider in
 * anybody's hands: nothing is ever waited for longer than is said, and what is remembered stays within its
 * bounds. */
#include "lease/limits.h"

#include "base/clock.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WALL 1767323045000000ll

static void check(const Limits *limits, int64_t now)
{
    if (limits->n > LIMITS_MAX || limits->paused > now + LIMITS_LONGEST_US)
        abort();
    for (size_t i = 0; i < limits->n; i++)
        if (limits->limit[i].reset > now + LIMITS_LONGEST_US || limits->limit[i].flying > 4 ||
            strlen(limits->limit[i].name) > LIMITS_MAX_NAME)
            abort();
    for (size_t i = 0; i < LIMITS_KINDS; i++)
        if (limits->kind[i].limit > limits->n)
            abort();
}

static void answer(Limits *limits, Slice lines, uint32_t kind, int64_t now)
{
    static HttpHead head;
    static char text[HTTP_MAX_HEAD];
    static const char start[] = "HTTP/1.1 429 X\r\n";
    size_t len = sizeof(start) - 1, used;
    if (lines.len > sizeof(text) - len - 4)
        return;
    memcpy(text, start, len);
    for (size_t i = 0; i < lines.len; i++) {
        if (lines.ptr[i] == '\n')
            text[len++] = '\r';
        if (len > sizeof(text) - 8)
            return;
        text[len++] = lines.ptr[i];
    }
    memcpy(text + len, "\r\n\r\n", 4);
    HttpLimits said;
    LimitsTicket ticket;
    const Limit *limit;
    uint64_t retry = 1;
    if (http_parse_response((Slice){text, len + 4}, HTTP_GET, &head, &used))
        return;
    http_limits(&head, WALL, &said);
    int r = limits_ask(limits, kind, now, &ticket, &limit, &retry);
    if (r && (retry == 0 || retry > (uint64_t)LIMITS_LONGEST_US))
        abort();
    limits_end(limits, &ticket);
    if (limits_note(limits, kind, "", &said, kind % 2 ? 429 : 200, now) == 0 && said.cost != 0)
        abort();
    check(limits, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Limits limits = {.reserve = size % 7, .reserve_percent = (unsigned)(size % 90)};
    int64_t now = 1000ll * CLOCK_SECOND;
    Slice rest = {(const char *)data, size};
    for (uint32_t i = 0; rest.len && i < 64; i++, now += 300 * CLOCK_SECOND) {
        const char *end = memmem(rest.ptr, rest.len, "\n\n", 2);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        answer(&limits, (Slice){rest.ptr, len}, i % 5, now);
        len += end ? 2 : 0;
        rest = (Slice){rest.ptr + len, rest.len - len};
    }
    return 0;
}
