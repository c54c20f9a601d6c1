/* Private to the SQLite sink: the open file, asking it, and what its answers mean for us. */
#pragma once

#include "base/clock.h"
#include "clerk/sink.h"

#include <sqlite3.h>

typedef struct Sqlite {
    RowSink sink;
    const ClerkSetup *setup;
    sqlite3 *db; /* NULL: not open */
    int64_t day; /* of day_text */
    char day_text[CLOCK_TEXT];
} Sqlite;

/* Opens the file; nothing to do when it is open. Without `create` it has to be there. */
int sqlite_connect(Sqlite *sqlite, bool create, Fault *fault) MUST_USE;
/* Its statements are finalized by then. */
void sqlite_disconnect(Sqlite *sqlite);

/* SQLite's last answer as one of CLERK_E_*, with its own words in the sentence. */
int sqlite_failed(const Sqlite *sqlite, const char *what, Fault *fault) MUST_USE;

/* Several statements, no answer wanted. */
int sqlite_execute(const Sqlite *sqlite, const char *sql, const char *what, Fault *fault) MUST_USE;
int sqlite_prepare(const Sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement,
                   Fault *fault) MUST_USE;
/* The first column of the first row; untouched when there is none. */
int sqlite_query_i64(const Sqlite *sqlite, const char *sql, int64_t *ret_value, Fault *fault) MUST_USE;

/* `text` is borrowed until the statement has run. */
static inline void sqlite_bind(sqlite3_stmt *statement, int at, Slice text)
{
    sqlite3_bind_text(statement, at, text.ptr, (int)text.len, SQLITE_STATIC);
}

/* Microseconds of the epoch as the schema has times: 2020-06-05T14:11:38.000Z. */
Slice sqlite_time(Sqlite *sqlite, int64_t us, char out[CLOCK_TEXT]);

static inline void sqlite_finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}
#define CLEANUP_STATEMENT CLEANUP(sqlite_finalize)

/* sqlite-schema.c: looks at the version, and migrates under an exclusive lock where the setup lets it. */
int sqlite_ready(const Sqlite *sqlite, Fault *fault) MUST_USE;
int sqlite_check(Sqlite *sqlite, Buf *report, Fault *fault) MUST_USE;

/* sqlite-records.c: what purser keeps beside the rows of scripts. See SinkOps; the sink is a Sqlite. */
int sqlite_stream_get(RowSink *base, Slice retriever, int64_t *ret_until, Fault *fault);
int sqlite_stream_set(RowSink *base, Slice retriever, Slice run, int64_t until, Fault *fault);
int sqlite_run_put(RowSink *base, const ClerkRun *run, Fault *fault);
int sqlite_seal_put(RowSink *base, const ClerkSeal *seal, Fault *fault);
int sqlite_seals(RowSink *base, Slice installation, SinkSeal *each, void *userdata, Fault *fault);
int sqlite_count(RowSink *base, const char *table, uint64_t *ret_rows, Fault *fault);
int sqlite_prune(RowSink *base, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                 Fault *fault);
