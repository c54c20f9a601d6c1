/* Writes JSON into a Buf. See json.h. */
#include "base/json.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static void put(JsonWriter *json, const char *bytes, size_t len)
{
    if (!json->error)
        json->error = buf_append(json->out, bytes, len);
}

static void put_quoted(JsonWriter *json, Slice text)
{
    static const char hex[] = "0123456789abcdef";
    static const bool plain[256] = {[' ' ... '!'] = 1, ['#' ... '['] = 1, [']' ... '~'] = 1};
    put(json, "\"", 1);
    for (size_t at = 0; at < text.len;) {
        /* The longest stretch that needs no care goes in one piece. */
        size_t run = at;
        while (run < text.len && plain[(unsigned char)text.ptr[run]])
            run++;
        put(json, text.ptr + at, run - at);
        if (run == text.len)
            break;
        unsigned char c = (unsigned char)text.ptr[run];
        size_t step = 1;
        if (c == '"' || c == '\\') {
            put(json, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x80) {
            put(json, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        } else {
            for (step = 2; step <= 4 && run + step <= text.len; step++)
                if (text_is_utf8((Slice){text.ptr + run, step}))
                    break;
            if (step > 4 || run + step > text.len) {
                put(json, "\xEF\xBF\xBD", 3);
                step = 1;
            } else {
                put(json, text.ptr + run, step);
            }
        }
        at = run + step;
    }
    put(json, "\"", 1);
}

static void begin_value(JsonWriter *json, const char *key)
{
    if (json->need_comma)
        put(json, ",", 1);
    json->need_comma = true;
    if (key) {
        put_quoted(json, slice_of(key));
        put(json, ":", 1);
    }
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
    begin_value(json, NULL);
    put_quoted(json, key);
    put(json, ":", 1);
    json->need_comma = false;
}

static void put_plain(JsonWriter *json, const char *key, const char *text)
{
    begin_value(json, key);
    put(json, text, strlen(text));
}

void json_slice(JsonWriter *json, const char *key, Slice value)
{
    begin_value(json, key);
    put_quoted(json, value);
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

void json_number(JsonWriter *json, const char *key, Slice written)
{
    begin_value(json, key);
    put(json, written.ptr, written.len);
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
