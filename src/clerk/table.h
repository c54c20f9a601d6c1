/* The tables that lines of results go into: one table of columns says what a field is called in NDJSON and in
 * a CSV header, what it may hold, how long it may be, and what it is called in SQL. Parsers fill in fields by
 * name, sinks look at columns only. The SQL itself is schema.c; a test loads every column through both sinks,
 * so that the two cannot drift apart.
 */
#pragma once

#include "base/slice.h"

#define TABLE_MAX_TEXT                                                                                       \
    (64u << 10)                /* bytes of a text field, and of all fields together that no column takes */
#define TABLE_MAX_NAME    1024 /* bytes of an identifier or a name: three of them still fit into an index */
#define TABLE_MAX_COLUMNS 24

typedef enum CellKind {
    CELL_TEXT,
    CELL_INT,  /* 64 bits */
    CELL_REAL, /* finite */
    CELL_TIME, /* wall us, UTC */
    CELL_JSON, /* text that is JSON */
} CellKind;

/* What row_finish() has to do for a column beyond asking whether it is there. */
typedef enum ColumnRole {
    COLUMN_PLAIN,
    COLUMN_SOURCE,  /* must be granted */
    COLUMN_ATTEMPT, /* 1 unless said */
    COLUMN_TEST_ID, /* made of job, suite and name when there is none */
    COLUMN_STATUS,  /* the small vocabulary, of the next two */
    COLUMN_STATUS_ORIGINAL,
    COLUMN_CONCLUSION_ORIGINAL,
    COLUMN_LABELS, /* of a metric: an object, {} unless said */
    COLUMN_LABELS_HASH,
    COLUMN_WINDOW_END, /* the end of the run's window unless said */
    COLUMN_EXTRA,      /* the fields that no column takes */
    COLUMN_RETRIEVER,
    COLUMN_RUN, /* purser's run */
    COLUMN_OBSERVED,
} ColumnRole;

typedef struct Column {
    const char *name;  /* in SQL */
    const char *field; /* in a line; NULL: purser fills it in */
    CellKind kind;
    ColumnRole role;
    uint32_t max;  /* bytes of a text */
    bool key;      /* part of the primary key */
    bool required; /* never NULL */
} Column;

typedef struct Table {
    const char *name; /* in SQL */
    const char *type; /* in a line; "": not for lines */
    bool replaced;    /* a later observation replaces a row; else the first one stays */
    const Column *column;
    size_t n_column;
} Table;

typedef enum TableId {
    TABLE_RUN,
    TABLE_JOB,
    TABLE_TEST,
    TABLE_DEPLOYMENT,
    TABLE_QUEUE,
    TABLE_METRIC,
    TABLE_DEAD,
    TABLE_COUNT,
} TableId;

extern const Table table_list[TABLE_COUNT];

/* By a line's `type` ("job"); NULL: none. */
const Table *table_of_type(Slice type);

/* By a CSV file's path: NAME.csv with NAME a type, its plural, or the table itself ("job", "jobs", "ci_job").
 */
const Table *table_of_file(Slice path);

static inline TableId table_id(const Table *table)
{
    return (TableId)(table - table_list);
}
