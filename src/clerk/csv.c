/* CSV with a header line. See csv.h. */
#include "clerk/csv.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>

void csv_init(Csv *csv)
{
    *csv = (Csv){.type = -1,
                 .header = BUF_INIT(CSV_MAX_COLUMNS * TABLE_MAX_NAME),
                 .cells = BUF_INIT(2u << 20),
                 .extra = BUF_INIT(8 * TABLE_MAX_TEXT)};
    ndjson_init(&csv->ndjson);
}

void csv_done(Csv *csv)
{
    buf_done(&csv->header);
    buf_done(&csv->cells);
    buf_done(&csv->extra);
    ndjson_done(&csv->ndjson);
}

CsvStep csv_step(Slice text, bool last, size_t *ret_len)
{
    enum { START, PLAIN, QUOTED, CLOSED } state = START;
    bool broken = false;
    for (size_t at = 0; at < text.len && !broken; at++) {
        char c = text.ptr[at];
        if (state == QUOTED) {
            if (c == '"')
                state = CLOSED;
        } else if (c == '\n') {
            *ret_len = at + 1;
            return CSV_RECORD;
        } else if (c == '"') {
            broken = state == PLAIN;
            state = QUOTED; /* the first of a cell, or the second of a doubled one */
        } else if (c == ',') {
            state = START;
        } else if (state == CLOSED) {
            broken = c != '\r';
        } else {
            state = PLAIN;
        }
    }
    if (!broken && !last)
        return CSV_MORE;
    if (!broken && state != QUOTED) {
        *ret_len = text.len;
        return CSV_RECORD;
    }
    const char *end = memchr(text.ptr, '\n', text.len);
    if (!end && !last)
        return CSV_MORE;
    *ret_len = end ? (size_t)(end - text.ptr) + 1 : text.len;
    return CSV_BROKEN;
}

/* The next cell of a record whose quoting csv_step() has found sound; unquoted into `room`, which never grows
 * while a record is split (it is reserved for the whole of it), so that the cells stay where they are. */
static Slice next_cell(Slice record, size_t *at, Buf *room)
{
    size_t start = room->len;
    char *out = room->data + start;
    if (*at < record.len && record.ptr[*at] == '"') {
        for ((*at)++; *at < record.len; (*at)++) {
            if (record.ptr[*at] == '"' && !(*at + 1 < record.len && record.ptr[++*at] == '"'))
                break;
            *out++ = record.ptr[*at];
        }
        while (*at < record.len && record.ptr[*at] != ',')
            (*at)++;
    } else {
        while (*at < record.len && record.ptr[*at] != ',')
            *out++ = record.ptr[(*at)++];
    }
    room->len = (size_t)(out - room->data);
    return (Slice){room->data + start, room->len - start};
}

/* -EINVAL: more cells than CSV_MAX_COLUMNS. */
static int split(Slice record, Buf *room, Slice *cell, size_t *ret_n, Fault *fault)
{
    char *at_end;
    size_t n = 0, at = 0;
    while (record.len && (record.ptr[record.len - 1] == '\n' || record.ptr[record.len - 1] == '\r'))
        record.len--;
    room->len = 0;
    if (buf_reserve(room, record.len + 1, &at_end))
        return fault_set(fault, -EINVAL, "the record is too long");
    if (memchr(record.ptr, '\0', record.len))
        return fault_set(fault, -EINVAL, "a NUL byte");
    if (!text_is_utf8(record))
        return fault_set(fault, -EINVAL, "not UTF-8");
    for (;; at++) {
        if (n == CSV_MAX_COLUMNS)
            return fault_set(fault, -EINVAL, "more than %d columns", CSV_MAX_COLUMNS);
        cell[n++] = next_cell(record, &at, room);
        if (at >= record.len)
            break;
    }
    *ret_n = n;
    return 0;
}

int csv_header(Csv *csv, Slice record, const Table *table, Fault *fault)
{
    int r = split(record, &csv->header, csv->name, &csv->n_name, fault);
    if (r)
        return fault_prefix(fault, r, "the header line");
    csv->table = table;
    csv->type = -1;
    for (size_t i = 0; i < csv->n_name; i++) {
        csv->name[i] = slice_trim(csv->name[i]);
        if (csv->name[i].len == 0)
            return fault_set(fault, -EINVAL, "the header line has a column without a name");
        if (slice_is(csv->name[i], "type"))
            csv->type = (int)i;
        for (size_t other = 0; other < i; other++)
            if (slice_equal(csv->name[i], csv->name[other]))
                return fault_set(fault, -EINVAL, "the header line has column %.*s twice",
                                 (int)csv->name[i].len, csv->name[i].ptr);
    }
    if (csv->type < 0 && !table)
        return fault_set(
            fault, -EINVAL,
            "nothing says what its lines are: add a column `type`, or call the file run.csv, job.csv, "
            "test.csv, deployment.csv, queue.csv or metric.csv");
    return 0;
}

static int set_cell(Csv *csv, Row *row, int column, Slice cell, Fault *fault)
{
    Input input = {.kind = INPUT_CELL, .text = cell};
    if (row->table->column[column].kind == CELL_JSON && (cell.ptr[0] == '[' || cell.ptr[0] == '{')) {
        input.kind = INPUT_JSON;
        int r = ndjson_canonical(&csv->ndjson, cell, &input.text, fault);
        if (r)
            return fault_prefix(fault, r, "`%s`", row->table->column[column].field);
    }
    return row_set(row, column, &input, fault);
}

int csv_parse(Csv *csv, Slice record, Row *row, Fault *fault)
{
    Slice cell[CSV_MAX_COLUMNS];
    size_t n = 0;
    if (slice_is(record, "\n") || slice_is(record, "\r\n") || record.len == 0)
        return -ENODATA;
    int r = split(record, &csv->cells, cell, &n, fault);
    if (r)
        return r;
    if (n != csv->n_name)
        return fault_set(fault, -EINVAL, "%zu cells where the header line has %zu", n, csv->n_name);
    const Table *table = csv->type >= 0 && cell[csv->type].len ? table_of_type(cell[csv->type]) : csv->table;
    if (!table)
        return fault_set(fault, -EINVAL,
                         "an unknown `type`: run, job, test, deployment, queue and metric are known");
    row_begin(row, table);
    csv->extra.len = 0;
    JsonWriter extra = JSON_WRITER(&csv->extra);
    bool any = false;
    json_object_begin(&extra, NULL);
    for (size_t i = 0; i < n; i++) {
        if ((int)i == csv->type || cell[i].len == 0)
            continue;
        int column = row_column_of(row, csv->name[i], csv->hint[i]);
        if (column >= 0) {
            csv->hint[i] = (size_t)column;
            r = set_cell(csv, row, column, cell[i], fault);
            if (r)
                return r;
            continue;
        }
        char *name = mem_dup(csv->name[i].ptr, csv->name[i].len);
        json_slice(&extra, name, cell[i]);
        mem_free(name);
        any = true;
    }
    json_object_end(&extra);
    if (json_finish(&extra) || csv->extra.len > TABLE_MAX_TEXT)
        return fault_set(fault, -EINVAL, "what no column takes is longer than %u bytes", TABLE_MAX_TEXT);
    return row_finish(row, any ? buf_slice(&csv->extra) : (Slice){"", 0}, fault);
}
