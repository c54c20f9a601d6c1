/* Strict parsing of small things. See text.h. */
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

int text_parse_u64(Slice text, uint64_t max, uint64_t *ret_value)
{
    if (text.len == 0 || text.len > 20 || (text.len > 1 && text.ptr[0] == '0'))
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
            return -ERANGE;
    }
    if (value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

typedef struct Unit {
    const char *suffix;
    uint64_t factor;
} Unit;

/* The digits at the front of *text and the unit behind them (letters up to the next digit). */
static int take_number_and_unit(Slice *text, const Unit *unit, size_t n_unit, uint64_t *ret_value,
                                size_t *ret_unit)
{
    size_t digits = 0, letters;
    while (digits < text->len && text->ptr[digits] >= '0' && text->ptr[digits] <= '9')
        digits++;
    for (letters = digits; letters < text->len && (text->ptr[letters] < '0' || text->ptr[letters] > '9');)
        letters++;
    uint64_t number;
    int r = text_parse_u64((Slice){text->ptr, digits}, UINT64_MAX, &number);
    if (r)
        return r;
    Slice suffix = {text->ptr + digits, letters - digits};
    for (size_t i = 0; i < n_unit; i++) {
        if (!slice_is(suffix, unit[i].suffix))
            continue;
        if (__builtin_mul_overflow(number, unit[i].factor, ret_value))
            return -ERANGE;
        *ret_unit = i;
        *text = (Slice){text->ptr + letters, text->len - letters};
        return 0;
    }
    return -EINVAL;
}

int text_parse_duration(Slice text, uint64_t *ret_us)
{
    static const Unit unit[] = {
        {"d", 86400000000u}, {"h", 3600000000u}, {"m", 60000000u}, {"s", 1000000u}, {"ms", 1000u},
    };
    if (slice_is(text, "0")) {
        *ret_us = 0;
        return 0;
    }
    uint64_t total = 0;
    size_t least = 0;
    do {
        uint64_t part;
        size_t which;
        int r = take_number_and_unit(&text, unit, COUNT_OF(unit), &part, &which);
        if (r)
            return r;
        if (which < least)
            return -EINVAL;
        least = which + 1;
        if (__builtin_add_overflow(total, part, &total))
            return -ERANGE;
    } while (text.len);
    *ret_us = total;
    return 0;
}

int text_parse_size(Slice text, uint64_t *ret_bytes)
{
    static const Unit unit[] = {
        {"", 1},           {"B", 1},         {"kB", 1000u},     {"MB", 1000000u}, {"GB", 1000000000u},
        {"KiB", 1u << 10}, {"Ki", 1u << 10}, {"MiB", 1u << 20}, {"Mi", 1u << 20}, {"GiB", 1u << 30},
        {"Gi", 1u << 30},
    };
    uint64_t value;
    size_t which;
    int r = take_number_and_unit(&text, unit, COUNT_OF(unit), &value, &which);
    if (r)
        return r;
    if (text.len)
        return -EINVAL;
    *ret_bytes = value;
    return 0;
}

int text_parse_rate(Slice text, uint64_t *ret_per_kilosecond)
{
    Slice count, per;
    uint64_t n, seconds;
    if (!slice_cut(text, '/', &count, &per))
        return -EINVAL;
    if (slice_is(per, "s"))
        seconds = 1;
    else if (slice_is(per, "m"))
        seconds = 60;
    else if (slice_is(per, "h"))
        seconds = 3600;
    else
        return -EINVAL;
    int r = text_parse_u64(count, 1000000, &n);
    if (r)
        return r;
    if (n * 1000 / seconds == 0)
        return -ERANGE;
    *ret_per_kilosecond = n * 1000 / seconds;
    return 0;
}

/* Length of the well-formed UTF-8 sequence at p, or 0. RFC 3629, section 4. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } form[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < COUNT_OF(form); i++) {
        if (p[0] < form[i].first_low || p[0] > form[i].first_high)
            continue;
        if (len < form[i].length || p[1] < form[i].second_low || p[1] > form[i].second_high)
            return 0;
        for (size_t k = 2; k < form[i].length; k++)
            if (p[k] < 0x80 || p[k] > 0xBF)
                return 0;
        return form[i].length;
    }
    return 0;
}

bool text_is_utf8(Slice text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    for (size_t at = 0, step; at < text.len; at += step)
        if ((step = utf8_sequence(p + at, text.len - at)) == 0)
            return false;
    return true;
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool text_is_name(Slice text)
{
    if (text.len == 0 || text.len > 63 || !is_lower_alnum(text.ptr[0]) ||
        !is_lower_alnum(text.ptr[text.len - 1]))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_lower_alnum(text.ptr[i]) && !strchr("._-", text.ptr[i]))
            return false;
    return true;
}

static bool is_ip_literal(Slice text)
{
    char copy[64], bytes[16];
    if (text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET, copy, bytes) == 1 || inet_pton(AF_INET6, copy, bytes) == 1;
}

bool text_is_host(Slice text)
{
    if (text.len == 0 || text.len > 253)
        return false;
    if (is_ip_literal(text))
        return true;
    bool only_digits = true; /* a last label of digits would be read as an address by some */
    for (Slice label, rest = text; rest.len;) {
        bool more = slice_cut(rest, '.', &label, &rest);
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        only_digits = true;
        for (size_t i = 0; i < label.len; i++) {
            if (!is_lower_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
                return false;
            only_digits &= label.ptr[i] >= '0' && label.ptr[i] <= '9';
        }
        if (more && rest.len == 0)
            return false;
    }
    return !only_digits;
}

uint32_t text_steers(Slice sequence)
{
    const unsigned char *p = (const unsigned char *)sequence.ptr;
    uint32_t point = sequence.len == 2   ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu)
                     : sequence.len == 3 ? (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu)
                                         : 0;
    bool steers = (point >= 0x80 && point < 0xA0) || (point >= 0x2028 && point <= 0x202E) ||
                  (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF || point >= 0xFFFE;
    return steers ? point : 0;
}

size_t text_escape(char *out, size_t size, const char *raw, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)raw;
    size_t total = 0, end = 0;
    for (size_t at = 0; at < len;) {
        char piece[8];
        size_t n, step = utf8_sequence(p + at, len - at);
        uint32_t point = text_steers((Slice){raw + at, step});
        if (point >= 0x100) {
            n = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", (unsigned)point);
        } else if (step == 0 || point || p[at] < 0x20 || p[at] == 0x7F) {
            step = point ? 2 : 1;
            if (p[at] == '\n') {
                memcpy(piece, "\\n", n = 2);
            } else {
                unsigned char byte = point ? (unsigned char)point : p[at];
                memcpy(piece, (char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15]}, n = 4);
            }
        } else {
            memcpy(piece, raw + at, n = step);
        }
        if (size && total == end && end + n < size) {
            memcpy(out + end, piece, n);
            end += n;
        }
        total += n;
        at += step;
    }
    if (size)
        out[end] = '\0';
    return total;
}

char *text_u64(char out[static 24], uint64_t value)
{
    char *at = out + 23;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return at;
}

void text_hex(char *out, const void *bytes, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
    out[2 * len] = '\0';
}

char *text_human_size(char out[static 24], uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 1 < COUNT_OF(unit))
        value /= 1024, i++;
    snprintf(out, 24, i && value < 100 ? "%.1f %s" : "%.0f %s", value, unit[i]);
    return out;
}

char *text_human_count(char out[static 32], uint64_t count)
{
    char plain[24];
    int n = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)count), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = plain[i];
    }
    out[at] = '\0';
    return out;
}

char *text_human_duration(char out[static 24], uint64_t us)
{
    unsigned long long s = us / 1000000, ms = us / 1000;
    if (s < 10)
        snprintf(out, 24, "%llu.%01llus", s, ms % 1000 / 100);
    else if (s < 60)
        snprintf(out, 24, "%llus", s);
    else if (s < 3600)
        snprintf(out, 24, "%llum %llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 24, "%lluh %llum", s / 3600, s % 3600 / 60);
    else
        snprintf(out, 24, "%llud %lluh", s / 86400, s % 86400 / 3600);
    return out;
}

void text_variable(char *out, size_t size, const char *name, const char *suffix)
{
    size_t n = 0;
    for (const char *p = name; *p && n + strlen(suffix) + 1 < size; p++)
        out[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p >= '0' && *p <= '9' ? *p : '_';
    snprintf(out + n, size - n, "%s", suffix);
}
