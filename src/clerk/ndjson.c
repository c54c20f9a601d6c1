/* A line of NDJSON into a row. See ndjson.h. */
#include "clerk/ndjson.h"

#include "json/arena.h"

#include <errno.h>
#include <jansson.h>

void ndjson_init(Ndjson *ndjson)
{
    *ndjson = (Ndjson){.extra = BUF_INIT(2 * TABLE_MAX_TEXT), .labels = BUF_INIT(2 * TABLE_MAX_TEXT)};
}

void ndjson_done(Ndjson *ndjson)
{
    buf_done(&ndjson->extra);
    buf_done(&ndjson->labels);
}

static bool deeper_than(json_t *value, unsigned most)
{
    if (!json_is_object(value) && !json_is_array(value))
        return false;
    if (most == 0)
        return true;
    const char *key;
    json_t *each;
    size_t i;
    if (json_is_array(value)) {
        json_array_foreach(value, i, each) if (deeper_than(each, most - 1)) return true;
        return false;
    }
    json_object_foreach(value, key, each) if (deeper_than(each, most - 1)) return true;
    return false;
}

/* `above`: how deep in the line the value lies. */
static int dump(json_t *value, unsigned above, Buf *buf, const char *what, Slice *ret_text, Fault *fault)
{
    char *at;
    buf->len = 0;
    if (deeper_than(value, NDJSON_MAX_DEPTH - above))
        return fault_set(fault, -EINVAL, "%s is nested deeper than %d", what, NDJSON_MAX_DEPTH);
    if (buf_reserve(buf, TABLE_MAX_TEXT, &at))
        return fault_set(fault, -EINVAL, "%s is too long", what);
    size_t n = json_dumpb(value, at, TABLE_MAX_TEXT, JSON_COMPACT | JSON_SORT_KEYS);
    if (n == 0 || n > TABLE_MAX_TEXT)
        return fault_set(fault, -EINVAL, "%s is longer than %u bytes", what, TABLE_MAX_TEXT);
    buf_commit(buf, n);
    *ret_text = buf_slice(buf);
    return 0;
}

static int parse_object(Slice text, json_t **ret_object, Fault *fault)
{
    json_error_t error;
    json_arena_reset();
    json_t *value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return fault_set(fault, -EINVAL, "not JSON: %s, at byte %d", error.text, error.position);
    if (!json_is_object(value))
        return fault_set(fault, -EINVAL, "not a JSON object");
    *ret_object = value;
    return 0;
}

static Slice text_of(const json_t *string)
{
    return (Slice){json_string_value(string), json_string_length(string)};
}

static int set_field(Ndjson *ndjson, Row *row, int column, json_t *value, Fault *fault)
{
    Input input = {.kind = INPUT_BOOL};
    int r = 0;
    switch (json_typeof(value)) {
    case JSON_NULL:
        return 0;
    case JSON_STRING:
        input = (Input){.kind = INPUT_TEXT, .text = text_of(value)};
        break;
    case JSON_INTEGER:
        input = (Input){.kind = INPUT_INT, .integer = json_integer_value(value)};
        break;
    case JSON_REAL:
        input = (Input){.kind = INPUT_REAL, .real = json_real_value(value)};
        break;
    case JSON_OBJECT:
    case JSON_ARRAY:
        input.kind = INPUT_JSON;
        if (row->table->column[column].kind == CELL_JSON)
            r = dump(value, 1, &ndjson->labels, row->table->column[column].field, &input.text, fault);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        break;
    }
    return r ? r : row_set(row, column, &input, fault);
}

int ndjson_parse(Ndjson *ndjson, Slice line, Row *row, Fault *fault)
{
    json_t *object = NULL, *extra = NULL, *value;
    int r = parse_object(line, &object, fault);
    if (r)
        return r;
    json_t *type = json_object_get(object, "type");
    const Table *table = json_is_string(type) ? table_of_type(text_of(type)) : NULL;
    if (!table)
        return fault_set(fault, -EINVAL, "%s: run, job, test, deployment, queue and metric are known",
                         !type                   ? "`type` is missing"
                         : !json_is_string(type) ? "`type` must be text"
                                                 : "an unknown `type`");
    row_begin(row, table);
    const char *key;
    size_t nth = 0, one_more = 0;
    json_object_foreach(object, key, value)
    {
        size_t *hint = nth < COUNT_OF(ndjson->hint) ? &ndjson->hint[nth++] : &one_more;
        if (value == type)
            continue;
        int column = row_column_of(row, slice_of(key), *hint);
        if (column >= 0) {
            *hint = (size_t)column;
            r = set_field(ndjson, row, column, value, fault);
        } else if ((!extra && !(extra = json_object())) || json_object_set_nocheck(extra, key, value)) {
            r = fault_set(fault, -EINVAL, "not JSON that fits into memory");
        }
        if (r)
            return r;
    }
    Slice rest = {"", 0};
    if (extra)
        r = dump(extra, 0, &ndjson->extra, "what no column takes", &rest, fault);
    return r ? r : row_finish(row, rest, fault);
}

int ndjson_canonical(Ndjson *ndjson, Slice cell, Slice *ret_json, Fault *fault)
{
    json_error_t error;
    json_arena_reset();
    json_t *value = json_loadb(cell.ptr, cell.len, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return fault_set(fault, -EINVAL, "not JSON: %s, at byte %d", error.text, error.position);
    return dump(value, 1, &ndjson->labels, "JSON in a cell", ret_json, fault);
}
