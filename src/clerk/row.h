/* A checked row: what a line of a retriever's file became, ready for a table. Pure: no file, no database.
 * Texts point into the parser's memory or the Row's own, and are valid until the next row_begin().
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "clerk/table.h"

#define ROW_MAX_DEAD_CONTENT 4096 /* bytes of a bad line that dead_letter keeps */

typedef struct Cell {
    bool set; /* else: NULL */
    union {
        Slice text;
        int64_t integer;
        double real;
    };
} Cell;

/* What the rows of one load have in common. */
typedef struct RowContext {
    Slice run, retriever;
    const Slice *source; /* granted */
    size_t n_source;
    int64_t until;    /* a metric without a time is of the end of the run's window */
    int64_t observed; /* when it was observed, by purser's clock; the sink holds it against the database's */
} RowContext;

/* What a parser found in a field. Text is UTF-8 without NUL. */
typedef enum InputKind {
    INPUT_TEXT, /* a JSON string */
    INPUT_CELL, /* a CSV cell: whatever its column wants */
    INPUT_INT,
    INPUT_REAL, /* finite */
    INPUT_BOOL,
    INPUT_JSON, /* an array or an object, as its compact text with sorted keys */
} InputKind;

typedef struct Input {
    InputKind kind;
    Slice text;
    int64_t integer;
    double real;
} Input;

typedef struct Row {
    const RowContext *context;
    const Table *table;
    Cell cell[TABLE_MAX_COLUMNS];
    char number[TABLE_MAX_COLUMNS][24]; /* identifiers that came as numbers */
    char hash[40];
    Buf room; /* one computed text */
} Row;

void row_init(Row *row, const RowContext *context);
void row_done(Row *row);
void row_begin(Row *row, const Table *table);

/* The column of a field, looked for at `hint` first; -1: no column takes it, it belongs into `extra`. */
int row_column_of(const Row *row, Slice field, size_t hint);

/* Sets one field. -EINVAL and a sentence. */
int row_set(Row *row, int column, const Input *input, Fault *fault) MUST_USE;

/* All fields are set: checks grants and keys, adds normal values and what purser knows. `extra` is a JSON
 * object, or empty. -EINVAL and a sentence. */
int row_finish(Row *row, Slice extra, Fault *fault) MUST_USE;

/* A line that could not be taken, as a row of dead_letter; `content` is cut and escaped. Line 0: the whole
 * file. */
void row_set_dead(Row *row, Slice file, uint64_t line, const char *reason, Slice content);

/* The small vocabulary: success failure cancelled skipped neutral timed_out running queued unknown. */
const char *row_status(Slice original);

/* A decimal number, strictly. -EINVAL: not one; -ERANGE: not one that a double holds ("1e999", "1e-999"). */
int row_parse_real(Slice text, double *ret_value) MUST_USE;
int row_parse_int(Slice text, int64_t *ret_value) MUST_USE; /* -EINVAL, -ERANGE */
