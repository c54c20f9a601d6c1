/* Rows into an SQLite file: the embedded default. See sink.h.
 *
 * WAL, synchronous=FULL: a batch that was reported is on the disk, also after a power cut (measured: a batch
 * of 50,000 rows pays for one fsync). One writer at a time; another waits up to a minute. */
#include "base/clock.h"
#include "base/mem.h"
#include "clerk/schema.h"
#include "clerk/seal.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>

#define BUSY_MS 60000

typedef struct SqliteSink {
    RowSink base;
    const ClerkSetup *setup;
    sqlite3 *db;
    sqlite3_stmt *insert[TABLE_COUNT];
    bool schema_known;
    int64_t observed;
    char observed_text[CLOCK_TEXT];
    SinkCounts counts;                        /* of the open batch */
    char text[TABLE_MAX_COLUMNS][CLOCK_TEXT]; /* times of one row */
    int64_t day;                              /* of day_text */
    char day_text[CLOCK_TEXT];
} SqliteSink;

static void disconnect(SqliteSink *sink)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        sqlite3_finalize(sink->insert[i]);
        sink->insert[i] = NULL;
    }
    sqlite3_close(sink->db);
    sink->db = NULL;
    sink->schema_known = false;
}

/* SQLite's own answer as one of ours. */
static int failed(SqliteSink *sink, const char *what, Fault *fault)
{
    int code = sqlite3_extended_errcode(sink->db), error = sqlite3_system_errno(sink->db);
    const char *path = sink->setup->path, *message = sqlite3_errmsg(sink->db);
    switch (code & 0xFF) {
    case SQLITE_FULL:
        return fault_set(fault, CLERK_E_FULL,
                         "%s: no room left on its disk (%s); make room, then run purser ingest", path, what);
    case SQLITE_IOERR:
        if (error == ENOSPC || error == EDQUOT)
            return fault_set(fault, CLERK_E_FULL,
                             "%s: no room left on its disk (%s); make room, then run purser ingest", path,
                             what);
        return fault_set(fault, CLERK_E_OUTAGE, "%s: %s: %s (%s)", path, what, message, strerror(error));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: %s: %s; move the file away, and purser makes a new one and loads what is kept",
                         path, what, message);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return fault_set(fault, CLERK_E_SCHEMA, "%s: %s: %s; purser needs to write the file and its folder",
                         path, what, message);
    case SQLITE_ERROR:
        return fault_set(fault, CLERK_E_SCHEMA, "%s: %s: %s", path, what, message);
    case SQLITE_CONSTRAINT:
        return fault_set(fault, CLERK_E_OUTAGE,
                         "%s: %s: another purser has just loaded the same (%s); try again", path, what,
                         message);
    default:
        return fault_set(fault, CLERK_E_OUTAGE, "%s: %s: %s", path, what, message);
    }
}

static int execute(SqliteSink *sink, const char *sql, const char *what, Fault *fault)
{
    return sqlite3_exec(sink->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(sink, what, fault);
}

/* Turning a new file to WAL does not wait for another process that does the same: it says busy at once. */
static int set_up(SqliteSink *sink, Fault *fault)
{
    static const char pragmas[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
        "PRAGMA cache_size = -32768";
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t end = clock_mono() + (int64_t)BUSY_MS * 1000;
    while (sqlite3_exec(sink->db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        if (sqlite3_errcode(sink->db) != SQLITE_BUSY || clock_mono() > end)
            return failed(sink, "opening it", fault);
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int connect_file(SqliteSink *sink, bool create, Fault *fault)
{
    if (sink->db)
        return 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(sink->setup->path, &sink->db, flags, NULL) != SQLITE_OK) {
        int r = failed(sink, "opening it", fault);
        disconnect(sink);
        return r;
    }
    sqlite3_busy_timeout(sink->db, BUSY_MS);
    sqlite3_db_config(sink->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sink->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int r = set_up(sink, fault);
    if (r)
        disconnect(sink);
    return r;
}

static int prepare(SqliteSink *sink, const char *sql, sqlite3_stmt **ret_statement, Fault *fault)
{
    return sqlite3_prepare_v2(sink->db, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? 0
               : failed(sink, "preparing a statement", fault);
}

static void finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}
#define CLEANUP_STATEMENT CLEANUP(finalize)

static void bind(sqlite3_stmt *statement, int at, Slice text)
{
    sqlite3_bind_text(statement, at, text.ptr, (int)text.len, SQLITE_STATIC);
}

/* The first column of the first row; untouched when there is none. */
static int query_i64(SqliteSink *sink, const char *sql, int64_t *ret_value, Fault *fault)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = prepare(sink, sql, &statement, fault);
    if (r)
        return r;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : failed(sink, "asking it", fault);
}

/* 0: no schema yet. */
static int read_version(SqliteSink *sink, int64_t *ret_version, Fault *fault)
{
    int64_t exists = 0, version = 0;
    int r =
        query_i64(sink, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'purser_schema'",
                  &exists, fault);
    if (!r && exists)
        r = query_i64(sink, "SELECT max(version) FROM purser_schema", &version, fault);
    if (!r)
        *ret_version = version;
    return r;
}

static int judge_version(SqliteSink *sink, int64_t version, Fault *fault)
{
    if (version > SCHEMA_VERSION)
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: its schema has version %lld, and this purser knows up to %d: use a newer purser",
            sink->setup->path, (long long)version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION && !sink->setup->migrate)
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: %s, and `migrate: false` forbids to change that: set `migrate: true` once",
                         sink->setup->path,
                         version ? "its schema is older than this purser" : "it has no schema yet");
    return 0;
}

static int migrate(SqliteSink *sink, Fault *fault)
{
    int64_t version = 0;
    int r = execute(sink, "BEGIN EXCLUSIVE", "locking it for a migration", fault);
    if (r)
        return r;
    r = read_version(sink, &version, fault); /* again: another purser may have been faster */
    if (!r)
        r = judge_version(sink, version, fault);
    for (; !r && version < SCHEMA_VERSION; version++) {
        CLEANUP_BUF Buf sql = BUF_INIT(64u << 10);
        if (schema_migration(SQL_SQLITE, (unsigned)version + 1, &sql))
            r = fault_set(fault, CLERK_E_SCHEMA, "the schema's text is too long");
        else
            r = execute(sink, buf_text(&sql), "creating tables", fault);
    }
    if (!r)
        r = execute(sink, "COMMIT", "creating tables", fault);
    if (r)
        sqlite3_exec(sink->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

static int sqlite_ready(RowSink *base, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int64_t version = 0;
    int r = connect_file(sink, sink->setup->migrate, fault);
    if (r || sink->schema_known)
        return r;
    r = read_version(sink, &version, fault);
    if (!r)
        r = judge_version(sink, version, fault);
    if (!r && version < SCHEMA_VERSION)
        r = migrate(sink, fault);
    sink->schema_known = r == 0;
    return r;
}

static int sqlite_check(RowSink *base, Buf *report, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    const char *path = sink->setup->path;
    int64_t version = 0;
    if (!sink->db && access(path, F_OK) < 0 && errno == ENOENT && sink->setup->migrate)
        return buf_printf(report, "SQLite file %s does not exist yet; the first run makes it\n", path)
                   ? CLERK_E_FULL
                   : 0;
    int r = connect_file(sink, false, fault);
    if (!r)
        r = read_version(sink, &version, fault);
    if (!r)
        r = judge_version(sink, version, fault);
    if (!r)
        r = execute(sink, "BEGIN IMMEDIATE; ROLLBACK", "asking whether it can be written", fault);
    if (!r && buf_printf(report, "SQLite file %s: schema version %lld%s\n", path, (long long)version,
                         version < SCHEMA_VERSION ? ", which the first run brings up to date" : ""))
        r = CLERK_E_FULL;
    return r;
}

/* One writer at a time holds the file for a batch; that another loads the same run shows in the ledger's key.
 */
static int sqlite_claim(RowSink *base, Slice run, Fault *fault)
{
    (void)base, (void)run, (void)fault;
    return 0;
}

static void sqlite_release(RowSink *base)
{
    (void)base;
}

static int sqlite_progress(RowSink *base, Slice run, Slice file, SinkProgress *ret_progress, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = prepare(sink,
                    "SELECT count(*), coalesce(max(end_byte), 0), coalesce(max(end_line), 0),"
                    " coalesce(sum(new_or_changed + unchanged), 0), coalesce(sum(dead), 0)"
                    " FROM ingest_ledger WHERE purser_run = ? AND file = ?",
                    &statement, fault);
    if (r)
        return r;
    bind(statement, 1, run);
    bind(statement, 2, file);
    if (sqlite3_step(statement) != SQLITE_ROW)
        return failed(sink, "reading ingest_ledger", fault);
    *ret_progress = (SinkProgress){.batches = (uint64_t)sqlite3_column_int64(statement, 0),
                                   .end_byte = (uint64_t)sqlite3_column_int64(statement, 1),
                                   .end_line = (uint64_t)sqlite3_column_int64(statement, 2),
                                   .rows = (uint64_t)sqlite3_column_int64(statement, 3),
                                   .dead = (uint64_t)sqlite3_column_int64(statement, 4)};
    return 0;
}

static void put_two(char *at, int value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
}

/* 2020-06-05T14:11:38.000Z. Most times of a file are of few days, so the date is kept. */
static Slice time_text(SqliteSink *sink, int64_t us, char out[CLOCK_TEXT])
{
    const int64_t day_us = (int64_t)86400 * CLOCK_SECOND;
    int64_t day = us / day_us, rest = us % day_us;
    if (day != sink->day || !sink->day_text[0]) {
        clock_format(sink->day_text, day * day_us);
        sink->day = day;
    }
    int ms = (int)(rest / 1000), seconds = ms / 1000;
    memcpy(out, sink->day_text, 11);
    memcpy(out + 11, "00:00:00.000Z", 14);
    put_two(out + 11, seconds / 3600);
    put_two(out + 14, seconds / 60 % 60);
    put_two(out + 17, seconds % 60);
    out[20] = (char)('0' + ms / 100 % 10);
    put_two(out + 21, ms % 100);
    return (Slice){out, 24};
}

static int sqlite_begin(RowSink *base, int64_t observed, int64_t *ret_observed, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int r = execute(sink, "BEGIN IMMEDIATE", "waiting for its lock", fault);
    if (r)
        return r;
    int64_t now = clock_wall(); /* the database's clock is this machine's */
    sink->observed = observed < now ? observed : now;
    sink->counts = (SinkCounts){0};
    (void)time_text(sink, sink->observed, sink->observed_text);
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
    return prepare(sink, buf_text(&sql), &sink->insert[table_id(table)], fault);
}

static int sqlite_row(RowSink *base, const Row *row, Fault *fault)
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
            bind(insert, at, slice_of(sink->observed_text));
        else if (row->table->column[i].kind == CELL_TIME)
            bind(insert, at, time_text(sink, cell->integer, sink->text[i]));
        else
            bind(insert, at, cell->text);
    }
    sqlite3_int64 before = sqlite3_total_changes64(sink->db);
    int step = sqlite3_step(insert);
    if (step != SQLITE_DONE)
        r = failed(sink, row->table->name, fault);
    sqlite3_reset(insert);
    if (id == TABLE_DEAD)
        sink->counts.dead++;
    else if (sqlite3_total_changes64(sink->db) > before)
        sink->counts.rows++;
    else
        sink->counts.unchanged++;
    return r;
}

static int put_ledger(SqliteSink *sink, const SinkBatch *batch, Fault *fault)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = prepare(sink,
                    "INSERT INTO ingest_ledger (purser_run, file, batch, retriever, end_byte, end_line,"
                    " new_or_changed, unchanged, dead, observed_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                    &statement, fault);
    if (r)
        return r;
    bind(statement, 1, batch->run);
    bind(statement, 2, batch->file);
    sqlite3_bind_int64(statement, 3, (int64_t)batch->number);
    bind(statement, 4, batch->retriever);
    sqlite3_bind_int64(statement, 5, (int64_t)batch->end_byte);
    sqlite3_bind_int64(statement, 6, (int64_t)batch->end_line);
    sqlite3_bind_int64(statement, 7, (int64_t)sink->counts.rows);
    sqlite3_bind_int64(statement, 8, (int64_t)sink->counts.unchanged);
    sqlite3_bind_int64(statement, 9, (int64_t)sink->counts.dead);
    bind(statement, 10, slice_of(sink->observed_text));
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : failed(sink, "writing ingest_ledger", fault);
}

static int sqlite_commit(RowSink *base, const SinkBatch *batch, SinkCounts *ret_counts, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    int r = put_ledger(sink, batch, fault);
    if (!r)
        r = execute(sink, "COMMIT", "committing a batch", fault);
    if (!r)
        *ret_counts = sink->counts;
    return r;
}

static void sqlite_abandon(RowSink *base)
{
    SqliteSink *sink = (SqliteSink *)base;
    if (sink->db)
        sqlite3_exec(sink->db, "ROLLBACK", NULL, NULL, NULL);
    disconnect(sink); /* the next use opens it afresh, whatever went wrong */
}

static int sqlite_stream_get(RowSink *base, Slice retriever, int64_t *ret_until, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = prepare(sink, "SELECT until_at FROM stream_state WHERE retriever = ?", &statement, fault);
    if (r)
        return r;
    bind(statement, 1, retriever);
    int step = sqlite3_step(statement);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return failed(sink, "reading stream_state", fault);
    int64_t until = 0;
    if (step == SQLITE_ROW && clock_parse((Slice){(const char *)sqlite3_column_text(statement, 0),
                                                  (size_t)sqlite3_column_bytes(statement, 0)},
                                          &until))
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: stream_state holds no time for this retriever; correct its row",
                         sink->setup->path);
    *ret_until = until;
    return 0;
}

static int sqlite_stream_set(RowSink *base, Slice retriever, Slice run, int64_t until, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char text[CLOCK_TEXT];
    int r = prepare(sink,
                    "INSERT INTO stream_state (retriever, until_at, purser_run) VALUES (?, ?, ?)"
                    " ON CONFLICT (retriever) DO UPDATE SET until_at = excluded.until_at,"
                    " purser_run = excluded.purser_run WHERE excluded.until_at > stream_state.until_at",
                    &statement, fault);
    if (r)
        return r;
    bind(statement, 1, retriever);
    bind(statement, 2, time_text(sink, until, text));
    bind(statement, 3, run);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : failed(sink, "writing stream_state", fault);
}

static void bind_json(sqlite3_stmt *statement, int at, Slice json)
{
    if (json.len)
        bind(statement, at, json);
}

static int sqlite_run_put(RowSink *base, const ClerkRun *run, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    const int64_t time[] = {run->started, run->ended, run->since, run->until, clock_wall()};
    char text[COUNT_OF(time)][CLOCK_TEXT];
    int r =
        prepare(sink,
                "INSERT INTO collection_run (purser_run, retriever, status, exit_status, sources, refusals,"
                " started_at, ended_at, since_at, until_at, observed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT DO NOTHING",
                &statement, fault);
    if (r)
        return r;
    bind(statement, 1, run->run);
    bind(statement, 2, run->retriever);
    bind(statement, 3, run->status);
    if (run->exit_status >= 0)
        sqlite3_bind_int64(statement, 4, run->exit_status);
    bind_json(statement, 5, run->sources);
    bind_json(statement, 6, run->refusals);
    for (size_t i = 0; i < COUNT_OF(time); i++)
        bind(statement, 7 + (int)i, time_text(sink, time[i], text[i]));
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : failed(sink, "writing collection_run", fault);
}

static int sqlite_seal_put(RowSink *base, const ClerkSeal *seal, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char time[CLOCK_TEXT], head[SEAL_HEX];
    int r = prepare(sink,
                    "INSERT INTO " SCHEMA_SEALS
                    " (installation, number, head, retriever, purser_run, observed_at)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    &statement, fault);
    if (r)
        return r;
    bind(statement, 1, slice_of(seal->installation));
    sqlite3_bind_int64(statement, 2, (int64_t)seal->number);
    bind(statement, 3, slice_of(seal_head_text(seal, head)));
    bind(statement, 4, slice_of(seal->retriever));
    bind(statement, 5, slice_of(seal->run));
    bind(statement, 6, time_text(sink, seal->time, time));
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : failed(sink, "writing " SCHEMA_SEALS, fault);
}

static Slice text_column(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);
    return (Slice){text ? text : "", text ? (size_t)sqlite3_column_bytes(statement, at) : 0};
}

static int sqlite_seals(RowSink *base, Slice installation, SinkSeal *each, void *userdata, Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int step = SQLITE_ROW;
    int r = prepare(sink,
                    "SELECT number, installation, head, retriever, purser_run, observed_at FROM " SCHEMA_SEALS
                    " WHERE installation = ?1 OR installation LIKE ?1 || '-%' ORDER BY installation, number",
                    &statement, fault);
    if (r)
        return r;
    bind(statement, 1, installation);
    while (!r && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        SealRow row = {.number = (uint64_t)sqlite3_column_int64(statement, 0)};
        for (int i = 0; i < SEAL_TEXTS; i++)
            row.text[i] = text_column(statement, i + 1);
        r = seal_each(&row, each, userdata);
    }
    return r ? r : step == SQLITE_DONE ? 0 : failed(sink, "reading " SCHEMA_SEALS, fault);
}

static int sqlite_count(RowSink *base, const char *table, uint64_t *ret_rows, Fault *fault)
{
    char sql[128];
    int64_t rows = 0;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    int r = query_i64((SqliteSink *)base, sql, &rows, fault);
    if (!r)
        *ret_rows = (uint64_t)rows;
    return r;
}

static int sqlite_prune(RowSink *base, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                        Fault *fault)
{
    SqliteSink *sink = (SqliteSink *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char sql[128], text[CLOCK_TEXT];
    snprintf(sql, sizeof(sql), "%s FROM %s WHERE observed_at < ?", dry_run ? "SELECT count(*)" : "DELETE",
             table);
    int r = prepare(sink, sql, &statement, fault);
    if (r)
        return r;
    bind(statement, 1, time_text(sink, before, text));
    int step = sqlite3_step(statement);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return failed(sink, "pruning", fault);
    *ret_rows = (uint64_t)(dry_run ? sqlite3_column_int64(statement, 0) : sqlite3_changes64(sink->db));
    return 0;
}

static RowSink *sqlite_close(RowSink *base)
{
    disconnect((SqliteSink *)base);
    mem_free(base);
    return NULL;
}

static const SinkOps sqlite_ops = {
    .ready = sqlite_ready,
    .migrate = sqlite_ready, /* it has no roles */
    .check = sqlite_check,
    .claim = sqlite_claim,
    .release = sqlite_release,
    .progress = sqlite_progress,
    .begin = sqlite_begin,
    .row = sqlite_row,
    .commit = sqlite_commit,
    .abandon = sqlite_abandon,
    .stream_get = sqlite_stream_get,
    .stream_set = sqlite_stream_set,
    .run_put = sqlite_run_put,
    .seal_put = sqlite_seal_put,
    .seals = sqlite_seals,
    .count = sqlite_count,
    .prune = sqlite_prune,
    .close = sqlite_close,
};

RowSink *sink_sqlite_new(const ClerkSetup *setup)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS,
                   0); /* nobody asks, and counting takes a lock at each allocation */
    SqliteSink *sink = MEM_NEW(SqliteSink);
    sink->base.ops = &sqlite_ops;
    sink->setup = setup;
    return &sink->base;
}
