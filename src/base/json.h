/* Writes JSON (RFC 8259) into a Buf: for answers, records and `--json`. Reading JSON is jansson's business,
 * in the roles that link it, so no function here is called as one of jansson's. Errors stick: write
 * everything, then ask json_finish() once. A key is NULL inside an array and at the top. Text that is not
 * UTF-8 comes out with U+FFFD in its place; what steers a terminal, or is nothing to YAML, escaped (text.h).
 */
#pragma once

#include "base/buf.h"

typedef struct JsonWriter {
    Buf *out;
    int error;      /* first failure of the Buf */
    unsigned depth; /* open objects and arrays */
    bool need_comma;
} JsonWriter;

#define JSON_WRITER(buf) ((JsonWriter){.out = (buf)})

void json_object_begin(JsonWriter *json, const char *key);
void json_object_end(JsonWriter *json);
void json_array_begin(JsonWriter *json, const char *key);
void json_array_end(JsonWriter *json);

/* The key of the next value, which is then written with the key NULL: for keys that are not terminated. */
void json_key(JsonWriter *json, Slice key);

void json_text(JsonWriter *json, const char *key, const char *value); /* NULL: null */
void json_slice(JsonWriter *json, const char *key, Slice value);
void json_u64(JsonWriter *json, const char *key, uint64_t value);
void json_i64(JsonWriter *json, const char *key, int64_t value);
void json_double(JsonWriter *json, const char *key, double value);  /* not finite: null */
void json_number(JsonWriter *json, const char *key, Slice written); /* a number of JSON's grammar, as it is */
void json_bool(JsonWriter *json, const char *key, bool value);
void json_nothing(JsonWriter *json, const char *key);
void json_time(JsonWriter *json, const char *key, int64_t wall_us); /* RFC 3339, UTC; 0: null */

int json_finish(const JsonWriter *json) MUST_USE; /* -ENOBUFS, or -EINVAL when something is still open */
