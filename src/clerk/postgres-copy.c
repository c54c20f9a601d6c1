/* Rows in the binary form of COPY. See postgres.h, and PostgreSQL's manual, COPY, "Binary Format". */
#include "clerk/postgres.h"

#include "base/clock.h"

#include <endian.h>

#define EPOCH_2000 (INT64_C(946684800) * CLOCK_SECOND) /* where timestamptz counts from */

static char *put_u32(char *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static char *put_u64(char *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(put_u32(at, sizeof(value)), &value, sizeof(value));
    return at + 4 + sizeof(value);
}

static char *put_text(char *at, Slice text)
{
    at = put_u32(at, (uint32_t)text.len);
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *put_cell(char *at, const Cell *cell, CellKind kind)
{
    uint64_t bits;
    if (!cell->set)
        return put_u32(at, UINT32_MAX);
    switch (kind) {
    case CELL_INT:
        return put_u64(at, (uint64_t)cell->integer);
    case CELL_TIME:
        return put_u64(at, (uint64_t)(cell->integer - EPOCH_2000));
    case CELL_REAL:
        memcpy(&bits, &cell->real, sizeof(bits));
        return put_u64(at, bits);
    case CELL_JSON: /* jsonb: its version, 1, before the text */
        at = put_u32(at, (uint32_t)cell->text.len + 1);
        *at++ = 1;
        memcpy(at, cell->text.ptr, cell->text.len);
        return at + cell->text.len;
    case CELL_TEXT:
        break;
    }
    return put_text(at, cell->text);
}

int postgres_copy_header(Buf *buf)
{
    return buf_append(buf, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
}

int postgres_copy_row(Buf *buf, const Row *row)
{
    const Table *table = row->table;
    size_t most = 2;
    for (size_t i = 0; i < table->n_column; i++) {
        bool text = table->column[i].kind == CELL_TEXT || table->column[i].kind == CELL_JSON;
        most += 13 + (text && row->cell[i].set ? row->cell[i].text.len : 0);
    }
    char *start;
    int r = buf_reserve(buf, most, &start);
    if (r)
        return r;
    uint16_t columns = htobe16((uint16_t)table->n_column);
    memcpy(start, &columns, sizeof(columns));
    char *at = start + sizeof(columns);
    for (size_t i = 0; i < table->n_column; i++)
        at = put_cell(at, &row->cell[i], table->column[i].kind);
    buf_commit(buf, (size_t)(at - start));
    return 0;
}
