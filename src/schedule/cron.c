/* Cron expressions into bit sets. See cron.h; when they come due is cron-time.c. */
#include "schedule/cron.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

typedef struct Field {
    const char *what;
    unsigned least, most;
    const char *names; /* three letters each, the first is `least` */
} Field;

static const Field fields[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
    {"day of week", 0, 7, "SUNMONTUEWEDTHUFRISAT"},
};

static int parse_value(const Field *field, Slice text, unsigned *ret_value, Fault *fault)
{
    if (field->names && text.len == 3) {
        for (unsigned i = 0; field->names[3 * i]; i++) {
            if (strncasecmp(field->names + 3 * i, text.ptr, 3) == 0) {
                *ret_value = field->least + i;
                return 0;
            }
        }
    }
    unsigned value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]) || i > 3)
            return fault_set(fault, -EINVAL, "'%.*s' does not fit the field %s (%u to %u%s)", (int)text.len,
                             text.ptr, field->what, field->least, field->most,
                             field->names ? ", or a name of three letters" : "");
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    if (text.len == 0)
        return fault_set(fault, -EINVAL, "the %s has an empty place; it is a list like 1,15 or 1-5",
                         field->what);
    if (value < field->least || value > field->most)
        return fault_set(fault, -EINVAL, "%u does not fit the field %s (%u to %u)", value, field->what,
                         field->least, field->most);
    *ret_value = value;
    return 0;
}

static int parse_step(const Field *field, Slice text, unsigned *ret_step, Fault *fault)
{
    unsigned step = 0, span = field->most - field->least;
    for (size_t i = 0; i < text.len && i < 4; i++)
        step = isdigit((unsigned char)text.ptr[i]) ? step * 10 + (unsigned)(text.ptr[i] - '0') : 100000;
    if (step == 0 || step > span || text.len > 4)
        return fault_set(fault, -EINVAL, "'/%.*s' is not a step for the %s (1 to %u)", (int)text.len,
                         text.ptr, field->what, span);
    *ret_step = step;
    return 0;
}

/* One item of a list: *, 5, 1-5, each with a step behind it where there is a range. */
static int parse_item(const Field *field, Slice item, uint64_t *bits, Fault *fault)
{
    Slice range, step_text, low_text, high_text;
    unsigned low = field->least, high = field->most, step = 1;
    bool has_step = slice_cut(item, '/', &range, &step_text);
    bool is_range = slice_cut(range, '-', &low_text, &high_text);
    int r = 0;
    if (!slice_is(range, "*")) {
        r = parse_value(field, low_text, &low, fault);
        high = low;
        if (!r && is_range)
            r = parse_value(field, high_text, &high, fault);
        if (!r && is_range && high == 0 && low > 0 && field->most == 7)
            high = 7; /* FRI-SUN */
        if (!r && has_step && !is_range)
            r = fault_set(fault, -EINVAL, "a step needs a range: write '%u-%u/%.*s' for '%.*s'", low,
                          field->most, (int)step_text.len, step_text.ptr, (int)item.len, item.ptr);
    }
    if (!r && high < low)
        r = fault_set(fault, -EINVAL, "the %s '%.*s' runs backwards", field->what, (int)range.len, range.ptr);
    if (!r && has_step)
        r = parse_step(field, step_text, &step, fault);
    for (unsigned value = low; !r && value <= high; value += step)
        *bits |= UINT64_C(1) << value;
    return r;
}

static int parse_field(const Field *field, Slice text, uint64_t *ret_bits, Fault *fault)
{
    uint64_t bits = 0;
    for (Slice item = {"", 0}, rest = text;;) {
        bool more = slice_cut(rest, ',', &item, &rest);
        int r = parse_item(field, item, &bits, fault);
        if (r)
            return r;
        if (!more)
            break;
    }
    *ret_bits = bits;
    return 0;
}

/* Whether the days named exist in any of the months named. */
static bool ever_comes(const Cron *cron)
{
    static const uint8_t days[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (cron->any_day || !cron->any_weekday)
        return true;
    for (unsigned month = 1; month <= 12; month++)
        if ((cron->month >> month & 1) && (cron->day & ((UINT64_C(2) << days[month]) - 1)))
            return true;
    return false;
}

static int expand_macro(Slice text, Slice *ret_text, Fault *fault)
{
    static const struct {
        const char *name, *text;
    } macro[] = {
        {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < COUNT_OF(macro); i++) {
        if (slice_is(text, macro[i].name)) {
            *ret_text = slice_of(macro[i].text);
            return 0;
        }
    }
    return fault_set(
        fault, -EINVAL,
        "'%.*s' is not known; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and "
        "@annually",
        (int)text.len, text.ptr);
}

/* Splits at blanks into exactly five. */
static int split(Slice text, Slice part[static 5], Fault *fault)
{
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        size_t from = at;
        while (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\t')
            at++;
        if (at > from && n < 5)
            part[n] = (Slice){text.ptr + from, at - from};
        n += at > from;
        at++;
    }
    if (n == 5)
        return 0;
    return fault_set(
        fault, -EINVAL,
        "a schedule has five fields (minute, hour, day of month, month, day of week), but '%.*s' has %zu%s",
        (int)text.len, text.ptr, n, n == 6 ? "; there is none for seconds" : "");
}

int cron_parse(Slice text, Cron *ret_cron, Fault *fault)
{
    Slice part[5];
    uint64_t bits[5];
    if (text.len > CRON_MAX_TEXT)
        return fault_set(fault, -EINVAL, "a schedule is at most %d bytes long", CRON_MAX_TEXT);
    int r = text.len && text.ptr[0] == '@' ? expand_macro(text, &text, fault) : 0;
    if (!r)
        r = split(text, part, fault);
    for (size_t i = 0; !r && i < 5; i++)
        r = parse_field(&fields[i], part[i], &bits[i], fault);
    if (r)
        return r;
    Cron cron = {
        .minute = bits[0],
        .hour = (uint32_t)bits[1],
        .day = (uint32_t)bits[2],
        .month = (uint16_t)bits[3],
        .weekday = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7F),
        .any_hour = slice_is(part[1], "*"),
        .any_day = part[2].ptr[0] == '*',
        .any_weekday = part[4].ptr[0] == '*',
    };
    if (!ever_comes(&cron))
        return fault_set(fault, -EINVAL, "'%.*s' never comes: none of its months has such a day",
                         (int)text.len, text.ptr);
    *ret_cron = cron;
    return 0;
}

uint64_t schedule_jitter(const char *name, uint64_t max_us)
{
    uint64_t hash =
        UINT64_C(0xcbf29ce484222325); /* FNV-1a, then splitmix64's last steps to spread short names */
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    hash ^= hash >> 31;
    return max_us == UINT64_MAX ? hash : hash % (max_us + 1);
}
