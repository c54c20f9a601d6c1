/* A line of NDJSON into a row. See ndjson.h. */
#include "clerk/ndjson.h"

#include "clerk/members.h"
#include "json/arena.h"

#include <errno.h>

#define TYPE "type"

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

/* Jansson's own words for what is wrong with a line that could not be taken. */
static int refuse(Slice line, Fault *fault)
{
    json_error_t error;
    if (memchr(line.ptr, '\0', line.len)) /* which jansson passes over behind a number */
        return fault_set(fault, -EINVAL, "not JSON: a NUL byte");
    json_arena_reset();
    json_t *value = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return fault_set(fault, -EINVAL, "not JSON: %s, at byte %d", error.text, error.position);
    return fault_set(fault, -EINVAL,
                     json_is_object(value) ? "not JSON that fits into memory" : "not a JSON object");
}

/* The type is mostly the first member; what comes before it is read again for the row. */
static int find_table(Slice line, const Table **ret_table, Fault *fault)
{
    Members members = MEMBERS_OF(line);
    Member member;
    int r;
    json_arena_reset();
    while (!(r = members_next(&members, &member)))
        if (slice_is(member.key, TYPE))
            break;
    if (r == -EINVAL)
        return refuse(line, fault);
    bool text = !r && member.input.kind == INPUT_TEXT;
    const Table *table = text ? table_of_type(member.input.text) : NULL;
    if (!table)
        return fault_set(fault, -EINVAL, "%s: run, job, test, deployment, queue and metric are known",
                         r      ? "`type` is missing"
                         : text ? "an unknown `type`"
                                : "`type` must be text");
    *ret_table = table;
    return 0;
}

static int set_field(Ndjson *ndjson, Row *row, int column, Member *member, Fault *fault)
{
    int r = 0;
    if (member->null)
        return 0;
    if (member->input.kind == INPUT_JSON && row->table->column[column].kind == CELL_JSON)
        r = dump(member->value, 1, &ndjson->labels, row->table->column[column].field, &member->input.text,
                 fault);
    return r ? r : row_set(row, column, &member->input, fault);
}

/* False: the key is there already, or there is no memory for it. */
static bool keep_extra(json_t **extra, const Member *member)
{
    Slice key = member->key;
    const Input *input = &member->input;
    if (!*extra && !(*extra = json_object()))
        return false;
    if (json_object_getn(*extra, key.ptr, key.len))
        return false;
    json_t *value = member->value              ? json_incref(member->value)
                    : input->kind == INPUT_INT ? json_integer(input->integer)
                                               : json_stringn_nocheck(input->text.ptr, input->text.len);
    return json_object_setn_new_nocheck(*extra, key.ptr, key.len, value) == 0;
}

int ndjson_parse(Ndjson *ndjson, Slice line, Row *row, Fault *fault)
{
    enum { TYPE_COLUMN = TABLE_MAX_COLUMNS }; /* where none is */
    bool seen[TABLE_MAX_COLUMNS + 1] = {false};
    const Table *table;
    Members members = MEMBERS_OF(line);
    Member member;
    json_t *extra = NULL;
    Slice rest = {"", 0};
    size_t nth = 0, one_more = 0;
    int r = find_table(line, &table, fault);
    if (r)
        return r;
    row_begin(row, table);
    json_arena_reset();
    while (!(r = members_next(&members, &member))) {
        size_t *hint = nth < COUNT_OF(ndjson->hint) ? &ndjson->hint[nth++] : &one_more;
        int column = slice_is(member.key, TYPE) ? TYPE_COLUMN : row_column_of(row, member.key, *hint);
        if (column < 0 ? !keep_extra(&extra, &member) : seen[column])
            return refuse(line, fault);
        if (column < 0)
            continue;
        seen[column] = true;
        if (column == TYPE_COLUMN)
            continue;
        *hint = (size_t)column;
        r = set_field(ndjson, row, column, &member, fault);
        if (r)
            return r;
    }
    if (r == -EINVAL)
        return refuse(line, fault);
    r = extra ? dump(extra, 0, &ndjson->extra, "what no column takes", &rest, fault) : 0;
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
