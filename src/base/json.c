/* Writes JSON into a Buf. See json.h. */
#include "base/json.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* Where `len` more bytes may be written, or NULL. Most pieces are short, and there is room: no call then. */
static char *reserve(JsonWriter *json, size_t len)
{
    Buf *out = json->out;
    char *at;
    if (json->error)
        return NULL;
    if (out->room - out->len > len)
        return out->data + out->len;
    json->error = buf_reserve(out, len, &at);
    return json->error ? NULL : at;
}

static void put(JsonWriter *json, const char *bytes, size_t len)
{
    char *at = reserve(json, len);
    if (!at)
        return;
    memcpy(at, bytes, len);
    json->out->len += len;
}

static const bool plain[256] = {[' ' ... '!'] = 1, ['#' ... '['] = 1, [']' ... '~'] = 1};

/* The escape of a character that does not stand for itself; returns how many bytes of `text` it took. */
static size_t put_escaped(JsonWriter *json, Slice text)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)text.ptr[0];
    if (c == '"' || c == '\\') {
        put(json, (char[]){'\\', (char)c}, 2);
        return 1;
    }
    if (c < 0x80) {
        put(json, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        return 1;
    }
    for (size_t len = 2; len <= 4 && len <= text.len; len++)
        if (text_is_utf8((Slice){text.ptr, len})) {
            uint32_t point = text_steers((Slice){text.ptr, len});
            char escape[8] = "";
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)point);
            put(json, point ? escape : text.ptr, point ? strlen(escape) : len);
            return len;
        }
    put(json, "\xEF\xBF\xBD", 3);
    return 1;
}

/* The rest of a text, from one stretch that needs no care to the next. */
static void put_carefully(JsonWriter *json, Slice text)
{
    for (size_t at = 0; at < text.len;) {
        size_t run = at;
        while (run < text.len && plain[(unsigned char)text.ptr[run]])
            run++;
        put(json, text.ptr + at, run - at);
        at = run;
        if (at < text.len)
            at += put_escaped(json, (Slice){text.ptr + at, text.len - at});
    }
}

/* `before`, the text, `after`; nearly always in one pass. */
static void put_quoted(JsonWriter *json, Slice before, Slice text, Slice after)
{
    char *at = reserve(json, before.len + text.len + after.len);
    size_t n = 0;
    if (!at)
        return;
    for (size_t i = 0; i < before.len; i++)
        *at++ = before.ptr[i];
    for (; n < text.len && plain[(unsigned char)text.ptr[n]]; n++)
        *at++ = text.ptr[n];
    json->out->len += before.len + n;
    if (n < text.len) {
        put_carefully(json, (Slice){text.ptr + n, text.len - n});
        put(json, after.ptr, after.len);
        return;
    }
    for (size_t i = 0; i < after.len; i++)
        *at++ = after.ptr[i];
    json->out->len += after.len;
}

static void begin_value(JsonWriter *json, const char *key)
{
    if (key)
        put_quoted(json, json->need_comma ? SLICE_LITERAL(",\"") : SLICE_LITERAL("\""), slice_of(key),
                   SLICE_LITERAL("\":"));
    else if (json->need_comma)
        put(json, ",", 1);
    json->need_comma = true;
}

static void open_group(JsonWriter *json, const char *key, const char *bracket)
{
    begin_value(json, key);
    put(json, bracket, 1);
    json->need_comma = false;
    json->depth++;
}

static void close_group(JsonWriter *json, const char *bracket)
{
    put(json, bracket, 1);
    json->need_comma = true;
    json->depth--;
}

void json_object_begin(JsonWriter *json, const char *key)
{
    open_group(json, key, "{");
}

void json_object_end(JsonWriter *json)
{
    close_group(json, "}");
}

void json_array_begin(JsonWriter *json, const char *key)
{
    open_group(json, key, "[");
}

void json_array_end(JsonWriter *json)
{
    close_group(json, "]");
}

void json_key(JsonWriter *json, Slice key)
{
    put_quoted(json, json->need_comma ? SLICE_LITERAL(",\"") : SLICE_LITERAL("\""), key,
               SLICE_LITERAL("\":"));
    json->need_comma = false;
}

void json_number(JsonWriter *json, const char *key, Slice written)
{
    begin_value(json, key);
    put(json, written.ptr, written.len);
}

static void put_plain(JsonWriter *json, const char *key, const char *text)
{
    json_number(json, key, slice_of(text));
}

void json_slice(JsonWriter *json, const char *key, Slice value)
{
    begin_value(json, key);
    put_quoted(json, SLICE_LITERAL("\""), value, SLICE_LITERAL("\""));
}

void json_text(JsonWriter *json, const char *key, const char *value)
{
    if (value)
        json_slice(json, key, slice_of(value));
    else
        json_nothing(json, key);
}

void json_u64(JsonWriter *json, const char *key, uint64_t value)
{
    char text[24];
    put_plain(json, key, text_u64(text, value));
}

void json_i64(JsonWriter *json, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    put_plain(json, key, text);
}

void json_double(JsonWriter *json, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.17g", value);
    put_plain(json, key, isfinite(value) ? text : "null");
}

void json_bool(JsonWriter *json, const char *key, bool value)
{
    put_plain(json, key, value ? "true" : "false");
}

void json_nothing(JsonWriter *json, const char *key)
{
    put_plain(json, key, "null");
}

void json_time(JsonWriter *json, const char *key, int64_t wall_us)
{
    char text[CLOCK_TEXT];
    if (wall_us)
        json_text(json, key, clock_format(text, wall_us));
    else
        json_nothing(json, key);
}

int json_finish(const JsonWriter *json)
{
    return json->error ? json->error : json->depth ? -EINVAL : 0;
}
