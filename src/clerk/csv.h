/* CSV with a header line (RFC 4180) into rows. The header's names are those of NDJSON's fields; a `type`
 * column, or the file's own name, says which table a record is for. An empty cell is no value. Line ends CR
 * LF or LF. A record that breaks the quoting ends where its first line ends, so that one stray quote costs
 * one line.
 */
#pragma once

#include "clerk/ndjson.h"

#define CSV_MAX_COLUMNS 256

typedef struct Csv {
    const Table *table; /* by the file's name; NULL: each record's `type` says */
    Slice name[CSV_MAX_COLUMNS];
    size_t n_name;
    size_t hint[CSV_MAX_COLUMNS]; /* where name[] was in the table of the record before */
    int type;                     /* column of `type`, or -1 */
    Buf header;                   /* what name[] points into */
    Buf cells;                    /* unquoted cells of one record */
    Buf extra;
    Ndjson ndjson; /* for cells that hold JSON */
} Csv;

typedef enum CsvStep {
    CSV_RECORD, /* *ret_len bytes are one record, with its line end */
    CSV_MORE,   /* its end has not come into sight */
    CSV_BROKEN, /* quoting is broken; *ret_len bytes are its first line */
} CsvStep;

/* Where the record at the start of `text` ends. `last`: nothing comes after `text`. */
CsvStep csv_step(Slice text, bool last, size_t *ret_len);

void csv_init(Csv *csv);
void csv_done(Csv *csv);

/* Takes the header (one record, as csv_step() found it). -EINVAL and a sentence: nothing of the file can be
 * loaded. */
int csv_header(Csv *csv, Slice record, const Table *table, Fault *fault) MUST_USE;

/* One record into a row. -EINVAL and a sentence; -ENODATA: an empty line. */
int csv_parse(Csv *csv, Slice record, Row *row, Fault *fault) MUST_USE;
