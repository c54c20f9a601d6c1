/* Rows into an SQLite file: the embedded default. See sink.h. */
#include "base/mem.h"
#include "clerk/schema.h"
#include "clerk/sqlite.h"

typedef struct SqliteSink {
    Sqlite sqlite; /* first: what the sink is */
    sqlite3_stmt *insert[TABLE_COUNT];
    bool schema_known;
    int64_t observed;
    char observed_text[CLOCK_TEXT];
    SinkCounts counts;                        /* of the open batch */
    char text[TABLE_MAX_COLUMNS][CLOCK_TEXT]; /* times of one row */
} SqliteSink;

static void forget(SqliteSink *sink)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        sqlite3_finalize(sink->insert[i]);
        sink->insert[i] = NULL;
    }
    sqlite_disconnect(&sink->sqlite);
    sink->schema_known = false;
}

static int sqlite_sink_ready(RowSink *base, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int r = sqlite_connect(&sink->sqlite, sink->sqlite.setup->migrate, fault);
    if (r || sink->schema_known)
        return r;
    r = sqlite_ready(&sink->sqlite, fault);
    sink->schema_known = r == 0;
    return r;
}

static int sqlite_sink_check(RowSink *base, Buf *report, Fault *fault)
{
    return sqlite_check(&((SqliteSink *)base)->sqlite, report, fault);
}

/* One writer at a time holds the file for a batch; that another loads the same run shows in the ledger's key.
 */
static int sqlite_sink_claim(RowSink *base, Slice run, Fault *fault)
{
    (void)base, (void)run, (void)fault;
    return 0;
}

static void sqlite_sink_release(RowSink *base)
{
    (void)base;
}

static int sqlite_sink_progress(RowSink *base, Slice run, Slice file, SinkProgress *ret_progress,
                                Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sqlite_prepare(&sink->sqlite,
                           "SELECT count(*), coalesce(max(end_byte), 0), coalesce(max(end_line), 0),"
                           " coalesce(sum(new_or_changed + unchanged), 0), coalesce(sum(dead), 0)"
                           " FROM ingest_ledger WHERE purser_run = ? AND file = ?",
                           &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, run);
    sqlite_bind(statement, 2, file);
    if (sqlite3_step(statement) != SQLITE_ROW)
        return sqlite_failed(&sink->sqlite, "reading ingest_ledger", fault);
    *ret_progress = (SinkProgress){.batches = (uint64_t)sqlite3_column_int64(statement, 0),
                                   .end_byte = (uint64_t)sqlite3_column_int64(statement, 1),
                                   .end_line = (uint64_t)sqlite3_column_int64(statement, 2),
                                   .rows = (uint64_t)sqlite3_column_int64(statement, 3),
                                   .dead = (uint64_t)sqlite3_column_int64(statement, 4)};
    return 0;
}

static int sqlite_sink_begin(RowSink *base, int64_t observed, int64_t *ret_observed, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int r = sqlite_execute(&sink->sqlite, "BEGIN IMMEDIATE", "waiting for its lock", fault);
    if (r)
        return r;
    int64_t now = clock_wall(); /* the database's clock is this machine's */
    sink->observed = observed < now ? observed : now;
    sink->counts = (SinkCounts){0};
    (void)sqlite_time(&sink->sqlite, sink->observed, sink->observed_text);
    *ret_observed = sink->observed;
    return 0;
}

static int prepare_insert(SqliteSink *sink, const Table *table, Fault *fault)
{
    CLEANUP_BUF Buf sql = BUF_INIT(8192);
    int r = buf_printf(&sql, "INSERT INTO %s (", table->name);
    if (!r)
        r = schema_columns(table, false, &sql);
    if (!r)
        r = buf_append_text(&sql, ") VALUES (?");
    for (size_t i = 1; i < table->n_column && !r; i++)
        r = buf_append_text(&sql, ",?");
    if (!r)
        r = buf_append_text(&sql, ")");
    if (!r)
        r = schema_on_conflict(table, &sql);
    if (r)
        return fault_set(fault, CLERK_E_SCHEMA, "the statement for %s is too long", table->name);
    return sqlite_prepare(&sink->sqlite, buf_text(&sql), &sink->insert[table_id(table)], fault);
}

static int sqlite_sink_row(RowSink *base, const Row *row, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    TableId id = table_id(row->table);
    int r = sink->insert[id] ? 0 : prepare_insert(sink, row->table, fault);
    if (r)
        return r;
    sqlite3_stmt *insert = sink->insert[id];
    for (size_t i = 0; i < row->table->n_column; i++) {
        const Cell *cell = &row->cell[i];
        int at = (int)i + 1;
        if (!cell->set)
            sqlite3_bind_null(insert, at);
        else if (row->table->column[i].kind == CELL_INT)
            sqlite3_bind_int64(insert, at, cell->integer);
        else if (row->table->column[i].kind == CELL_REAL)
            sqlite3_bind_double(insert, at, cell->real);
        else if (row->table->column[i].role == COLUMN_OBSERVED)
            sqlite_bind(insert, at, slice_of(sink->observed_text));
        else if (row->table->column[i].kind == CELL_TIME)
            sqlite_bind(insert, at, sqlite_time(&sink->sqlite, cell->integer, sink->text[i]));
        else
            sqlite_bind(insert, at, cell->text);
    }
    sqlite3_int64 before = sqlite3_total_changes64(sink->sqlite.db);
    int step = sqlite3_step(insert);
    if (step != SQLITE_DONE)
        r = sqlite_failed(&sink->sqlite, row->table->name, fault);
    sqlite3_reset(insert);
    if (id == TABLE_DEAD)
        sink->counts.dead++;
    else if (sqlite3_total_changes64(sink->sqlite.db) > before)
        sink->counts.rows++;
    else
        sink->counts.unchanged++;
    return r;
}

static int put_ledger(SqliteSink *sink, const SinkBatch *batch, Fault *fault)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        sqlite_prepare(&sink->sqlite,
                       "INSERT INTO ingest_ledger (purser_run, file, batch, retriever, end_byte, end_line,"
                       " new_or_changed, unchanged, dead, observed_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                       &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, batch->run);
    sqlite_bind(statement, 2, batch->file);
    sqlite3_bind_int64(statement, 3, (int64_t)batch->number);
    sqlite_bind(statement, 4, batch->retriever);
    sqlite3_bind_int64(statement, 5, (int64_t)batch->end_byte);
    sqlite3_bind_int64(statement, 6, (int64_t)batch->end_line);
    sqlite3_bind_int64(statement, 7, (int64_t)sink->counts.rows);
    sqlite3_bind_int64(statement, 8, (int64_t)sink->counts.unchanged);
    sqlite3_bind_int64(statement, 9, (int64_t)sink->counts.dead);
    sqlite_bind(statement, 10, slice_of(sink->observed_text));
    return sqlite3_step(statement) == SQLITE_DONE
               ? 0
               : sqlite_failed(&sink->sqlite, "writing ingest_ledger", fault);
}

static int sqlite_sink_commit(RowSink *base, const SinkBatch *batch, SinkCounts *ret_counts, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int r = put_ledger(sink, batch, fault);
    if (!r)
        r = sqlite_execute(&sink->sqlite, "COMMIT", "committing a batch", fault);
    if (!r)
        *ret_counts = sink->counts;
    return r;
}

static void sqlite_sink_abandon(RowSink *base)
{
    SqliteSink *sink = (SqliteSink *)base;
    if (sink->sqlite.db)
        sqlite3_exec(sink->sqlite.db, "ROLLBACK", NULL, NULL, NULL);
    forget(sink); /* the next use opens it afresh, whatever went wrong */
}

static RowSink *sqlite_sink_close(RowSink *base)
{
    forget((SqliteSink *)base);
    mem_free(base);
    return NULL;
}

static const SinkOps sqlite_ops = {
    .ready = sqlite_sink_ready,
    .migrate = sqlite_sink_ready, /* it has no roles */
    .check = sqlite_sink_check,
    .claim = sqlite_sink_claim,
    .release = sqlite_sink_release,
    .progress = sqlite_sink_progress,
    .begin = sqlite_sink_begin,
    .row = sqlite_sink_row,
    .commit = sqlite_sink_commit,
    .abandon = sqlite_sink_abandon,
    .stream_get = sqlite_stream_get,
    .stream_set = sqlite_stream_set,
    .run_put = sqlite_run_put,
    .seal_put = sqlite_seal_put,
    .seals = sqlite_seals,
    .count = sqlite_count,
    .prune = sqlite_prune,
    .close = sqlite_sink_close,
};

RowSink *sink_sqlite_new(const ClerkSetup *setup)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS,
                   0); /* nobody asks, and counting takes a lock at each allocation */
    SqliteSink *sink = MEM_NEW(SqliteSink);
    sink->sqlite.sink.ops = &sqlite_ops;
    sink->sqlite.setup = setup;
    return &sink->sqlite.sink;
}
