/* What an answer's head says of the provider's own limits. See limit.h. */
#include "http/limit.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define EPOCH_FROM  1000000000u /* a greater number is a time since 1970 (2001), not a distance from now */
#define MOST_SECOND 99999999999u

int http_parse_date(Slice text, int64_t *ret_wall_us)
{
    static const char month[] = "JanFebMarAprMayJunJulAugSepOctNovDec",
                      form[] = "aaa, 00 aaa 0000 00:00:00 GMT";
    char plain[CLOCK_TEXT];
    if (text.len != sizeof(form) - 1)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'), digit = c >= '0' && c <= '9';
        if (form[i] == 'a' ? !letter : form[i] == '0' ? !digit : c != form[i])
            return -EINVAL;
    }
    const char *at = memmem(month, sizeof(month) - 1, text.ptr + 8, 3);
    if (!at || (at - month) % 3)
        return -EINVAL;
    snprintf(plain, sizeof(plain), "%.4s-%02u-%.2sT%.8sZ", text.ptr + 12, (unsigned)(at - month) / 3 + 1,
             text.ptr + 5, text.ptr + 17);
    return clock_parse(slice_of(plain), ret_wall_us);
}

typedef enum Field { LIMIT, REMAINING, USED, RESET, NAME, COST, RETRY, DATE } Field;

/* `which`: of HttpLimits.limit. */
static const struct {
    const char *header;
    Field field;
    unsigned which;
} fields[] = {
    {"X-RateLimit-Limit", LIMIT, 0},
    {"X-RateLimit-Remaining", REMAINING, 0},
    {"X-RateLimit-Used", USED, 0},
    {"X-RateLimit-Reset", RESET, 0},
    {"X-RateLimit-Resource", NAME, 0},
    {"RateLimit-Limit", LIMIT, 0},
    {"RateLimit-Remaining", REMAINING, 0},
    {"RateLimit-Observed", USED, 0},
    {"RateLimit-Reset", RESET, 0},
    {"RateLimit-Name", NAME, 0},
    {"RateLimit-Scope", NAME, 0},
    {"RateLimit-User-Limit", LIMIT, 1},
    {"RateLimit-User-Remaining", REMAINING, 1},
    {"RateLimit-User-Reset", RESET, 1},
    {"RateLimit-Complexity-Actual", COST, 0},
    {"Retry-After", RETRY, 0},
    {"Date", DATE, 0},
};

/* Values as they were sent: what a number means depends on the Date, which may come last. */
typedef struct Said {
    Slice value[DATE + 1][2];
} Said;

/* Only names that begin so are compared with the table: most heads have none. */
static bool may_be_one(Slice name)
{
    if (name.len < 4)
        return false;
    char c = (char)(name.ptr[0] | 0x20);
    return c == 'r' || c == 'd' || (c == 'x' && name.len > 11 && (name.ptr[2] | 0x20) == 'r');
}

/* False: nothing that matters was said, as in most answers. */
static bool gather(const HttpHead *head, Said *said)
{
    bool any = false;
    for (size_t i = 0; i < head->n_header; i++) {
        const HttpHeader *header = &head->header[i];
        if (!may_be_one(header->name))
            continue;
        for (size_t k = 0; k < COUNT_OF(fields); k++) {
            Slice *place = &said->value[fields[k].field][fields[k].which];
            if (place->ptr || !slice_is_nocase(header->name, fields[k].header))
                continue;
            *place = header->value;
            any |= fields[k].field != DATE;
        }
    }
    return any;
}

static uint64_t number(Slice text)
{
    uint64_t value;
    return text.ptr && text_parse_u64(text, INT64_MAX, &value) == 0 ? value : HTTP_LIMIT_UNKNOWN;
}

static int64_t from_now(Slice text, int64_t now)
{
    uint64_t seconds = number(text);
    int64_t at;
    if (seconds <= MOST_SECOND) {
        int64_t us = (int64_t)seconds * CLOCK_SECOND;
        us -= seconds > EPOCH_FROM ? now : 0;
        return us > 0 ? us : 0;
    }
    if (!text.ptr || http_parse_date(text, &at))
        return -1;
    return at > now ? at - now : 0;
}

void http_limits(const HttpHead *head, int64_t wall, HttpLimits *ret_limits)
{
    Said said = {0};
    int64_t now;
    *ret_limits = (HttpLimits){.retry_after = -1, .cost = HTTP_LIMIT_UNKNOWN};
    if (!gather(head, &said))
        return;
    if (!said.value[DATE][0].ptr || http_parse_date(said.value[DATE][0], &now))
        now = wall;
    for (unsigned i = 0; i < COUNT_OF(ret_limits->limit); i++) {
        HttpLimit limit = {.name = i ? SLICE_LITERAL("user") : said.value[NAME][0],
                           .limit = number(said.value[LIMIT][i]),
                           .remaining = number(said.value[REMAINING][i]),
                           .used = number(said.value[USED][i]),
                           .reset = from_now(said.value[RESET][i], now)};
        if (limit.name.ptr == NULL)
            limit.name = (Slice){"", 0};
        if (limit.remaining != HTTP_LIMIT_UNKNOWN)
            ret_limits->limit[ret_limits->n++] = limit;
    }
    ret_limits->retry_after = from_now(said.value[RETRY][0], now);
    ret_limits->cost = number(said.value[COST][0]);
}
