/* Rows into PostgreSQL. See sink.h.
 *
 * The first table that a batch has rows for is copied while the batch is still being parsed, so that both
 * processors work; rows of other tables wait for their turn. COPY goes straight into the table, under a
 * savepoint. If a key is there already, the same bytes go into a temporary table instead and from there in by
 * one upsert, and the run goes on that way: it is then loading what was loaded before. The bytes of a batch
 * are kept until it is committed, so a transaction that the server gave up (a deadlock) is done again without
 * reading the file again. */
#include "base/mem.h"
#include "clerk/postgres.h"
#include "clerk/schema.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define PIECE    (64u << 10) /* of a COPY that is sent at once */
#define ATTEMPTS 5

typedef struct TableCopy {
    Buf bytes; /* header and rows of the open batch */
    uint64_t rows;
    Buf columns; /* "a, b, c", made once */
} TableCopy;

typedef struct PostgresSink {
    Postgres postgres; /* first: what the sink is */
    bool schema_known;
    bool staging; /* of the run: keys are there already */
    TableCopy copy[TABLE_COUNT];
    int direct;  /* the table whose COPY is under way, or -1 */
    size_t sent; /* bytes of it */
    int64_t observed;
    SinkCounts counts;
} PostgresSink;

static int postgres_sink_ready(RowSink *base, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    int r = postgres_connect(&sink->postgres, fault);
    if (!r && !sink->schema_known)
        r = postgres_ready(&sink->postgres, fault);
    if (!r)
        sink->schema_known = true;
    return r;
}

static int postgres_sink_migrate(RowSink *base, Fault *fault)
{
    int r = postgres_sink_ready(base, fault);
    return r ? r : postgres_let_read(&((PostgresSink *)base)->postgres, fault);
}

static int postgres_sink_check(RowSink *base, Buf *report, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    int r = postgres_connect(&sink->postgres, fault);
    return r ? r : postgres_check(&sink->postgres, report, fault);
}

static int postgres_sink_claim(RowSink *base, Slice run, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    CLEANUP_MEM char *name = mem_dup(run.ptr, run.len);
    CLEANUP_RESULT PGresult *result = NULL;
    const char *parameter[] = {name};
    sink->staging = false;
    return postgres_query(&sink->postgres,
                          "SELECT pg_advisory_lock(hashtextextended('purser run ' || $1, 0))", parameter, 1,
                          "waiting for another purser that loads the same run", &result, fault);
}

static void postgres_sink_release(RowSink *base)
{
    PostgresSink *sink = (PostgresSink *)base;
    if (PQtransactionStatus(sink->postgres.connection) == PQTRANS_IDLE)
        PQclear(PQexec(sink->postgres.connection, "SELECT pg_advisory_unlock_all()"));
}

static int postgres_sink_progress(RowSink *base, Slice run, Slice file, SinkProgress *ret_progress,
                                  Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    CLEANUP_MEM char *run_text = mem_dup(run.ptr, run.len), *file_text = mem_dup(file.ptr, file.len);
    CLEANUP_RESULT PGresult *result = NULL;
    const char *parameter[] = {run_text, file_text};
    int r = postgres_query(&sink->postgres,
                           "SELECT count(*), coalesce(max(end_byte), 0), coalesce(max(end_line), 0),"
                           " coalesce(sum(new_or_changed + unchanged), 0), coalesce(sum(dead), 0)"
                           " FROM ingest_ledger WHERE purser_run = $1 AND file = $2",
                           parameter, 2, "reading ingest_ledger", &result, fault);
    if (r)
        return r;
    uint64_t value[5];
    for (int i = 0; i < 5; i++)
        value[i] = strtoull(PQgetvalue(result, 0, i), NULL, 10);
    *ret_progress = (SinkProgress){value[0], value[1], value[2], value[3], value[4]};
    return 0;
}

static void forget_batch(PostgresSink *sink)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        sink->copy[i].bytes.len = 0; /* the room stays for the next batch */
        sink->copy[i].rows = 0;
    }
    sink->direct = -1;
    sink->sent = 0;
    sink->counts = (SinkCounts){0};
}

static int postgres_sink_begin(RowSink *base, int64_t observed, int64_t *ret_observed, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    char sql[160];
    forget_batch(sink);
    snprintf(sql, sizeof(sql), "BEGIN; SELECT least(%lld, (extract(epoch FROM now()) * 1000000)::bigint)",
             (long long)observed);
    CLEANUP_RESULT PGresult *result = PQexec(sink->postgres.connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return postgres_failed(&sink->postgres, result, "beginning a batch", fault);
    sink->observed = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    *ret_observed = sink->observed;
    return 0;
}

static const char *columns_of(PostgresSink *sink, TableId id)
{
    TableCopy *copy = &sink->copy[id];
    if (!copy->columns.len && schema_columns(&table_list[id], false, &copy->columns))
        return "";
    return buf_text(&copy->columns);
}

/* Sends `sql`, which ends in a COPY FROM STDIN. 0, or the failure with *ret_result. */
static int start_copy(PostgresSink *sink, const char *sql, PGresult **ret_result, Fault *fault)
{
    PGresult *result = PQexec(sink->postgres.connection, sql);
    if (PQresultStatus(result) == PGRES_COPY_IN) {
        PQclear(result);
        return 0;
    }
    int r = postgres_failed(&sink->postgres, result, "starting to copy", fault);
    *ret_result = result;
    return r;
}

static int start_direct(PostgresSink *sink, TableId id, PGresult **ret_result, Fault *fault)
{
    char sql[2048];
    snprintf(sql, sizeof(sql), "SAVEPOINT purser_copy; COPY %s (%s) FROM STDIN (FORMAT binary)",
             table_list[id].name, columns_of(sink, id));
    int r = start_copy(sink, sql, ret_result, fault);
    if (!r) {
        sink->direct = (int)id;
        sink->sent = 0;
    }
    return r;
}

/* Sends what has gathered; all of it when `last`. A server that has given up the COPY says so at its end. */
static int feed(PostgresSink *sink, TableId id, bool last, Fault *fault)
{
    const Buf *bytes = &sink->copy[id].bytes;
    while (bytes->len - sink->sent >= (last ? 1 : PIECE)) {
        size_t n = bytes->len - sink->sent < PIECE ? bytes->len - sink->sent : PIECE;
        if (PQputCopyData(sink->postgres.connection, bytes->data + sink->sent, (int)n) != 1)
            return postgres_failed(&sink->postgres, NULL, "sending rows", fault);
        sink->sent += n;
    }
    return 0;
}

/* The end of a COPY. 0, or the failure with *ret_result. */
static int end_copy(PostgresSink *sink, PGresult **ret_result, Fault *fault)
{
    PGconn *connection = sink->postgres.connection;
    PGresult *bad = NULL;
    int r = 0;
    if (PQputCopyData(connection, "\377\377", 2) != 1 || PQputCopyEnd(connection, NULL) != 1)
        r = postgres_failed(&sink->postgres, NULL, "sending rows", fault);
    for (PGresult *result; (result = PQgetResult(connection));) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_COPY_IN || status == PGRES_COMMAND_OK || bad) {
            PQclear(result);
            if (status == PGRES_COPY_IN) /* the connection broke: there is no end to wait for */
                break;
            continue;
        }
        r = postgres_failed(&sink->postgres, result, "copying rows", fault);
        bad = result;
    }
    if (!r && PQstatus(connection) != CONNECTION_OK)
        r = postgres_failed(&sink->postgres, NULL, "copying rows", fault);
    *ret_result = bad;
    return r;
}

static int postgres_sink_row(RowSink *base, const Row *row, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    TableId id = table_id(row->table);
    TableCopy *copy = &sink->copy[id];
    CLEANUP_RESULT PGresult *result = NULL;
    int r = copy->bytes.len ? 0 : postgres_copy_header(&copy->bytes);
    if (!r)
        r = postgres_copy_row(&copy->bytes, row);
    if (r)
        return fault_set(fault, CLERK_E_DATA, "the batch does not fit into memory");
    copy->rows++;
    if (sink->direct < 0 && !sink->staging && id != TABLE_DEAD &&
        (r = start_direct(sink, id, &result, fault)))
        return r;
    return sink->direct == (int)id ? feed(sink, id, false, fault) : 0;
}

/* By way of a temporary table. Of a key that the batch has twice, the later line counts. */
static int copy_staged(PostgresSink *sink, TableId id, PGresult **ret_result, Fault *fault)
{
    const Table *table = &table_list[id];
    CLEANUP_BUF Buf sql = BUF_INIT(16384);
    CLEANUP_BUF Buf key = BUF_INIT(1024);
    const char *columns = columns_of(sink, id);
    TableCopy *copy = &sink->copy[id];
    int r = schema_columns(table, true, &key);
    if (!r)
        r = buf_printf(&sql,
                       "CREATE TEMPORARY TABLE IF NOT EXISTS purser_stage_%s (LIKE %s,"
                       " purser_seq bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS;"
                       "TRUNCATE purser_stage_%s; COPY purser_stage_%s (%s) FROM STDIN (FORMAT binary)",
                       table->name, table->name, table->name, table->name, columns);
    if (r)
        return fault_set(fault, CLERK_E_SCHEMA, "the statement for %s is too long", table->name);
    r = start_copy(sink, buf_text(&sql), ret_result, fault);
    sink->sent = 0;
    if (!r)
        r = feed(sink, id, true, fault);
    if (!r)
        r = end_copy(sink, ret_result, fault);
    if (r)
        return r;
    sql.len = 0;
    r = buf_printf(
        &sql,
        "INSERT INTO %s (%s) SELECT DISTINCT ON (%s) %s FROM purser_stage_%s ORDER BY %s, purser_seq %s",
        table->name, columns, buf_text(&key), columns, table->name, buf_text(&key),
        table->replaced ? "DESC" : "ASC");
    if (r || schema_on_conflict(table, &sql))
        return fault_set(fault, CLERK_E_SCHEMA, "the statement for %s is too long", table->name);
    PGresult *result = PQexec(sink->postgres.connection, buf_text(&sql));
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        *ret_result = result;
        return postgres_failed(&sink->postgres, result, table->name, fault);
    }
    uint64_t changed = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    if (id == TABLE_DEAD)
        return 0;
    sink->counts.rows += changed;
    sink->counts.unchanged += copy->rows - changed;
    return 0;
}

/* One table's rows: straight if nothing speaks against it, else staged. */
static int flush_table(PostgresSink *sink, TableId id, PGresult **ret_result, Fault *fault)
{
    int r = 0;
    if (sink->copy[id].rows == 0)
        return 0;
    if (id == TABLE_DEAD)
        sink->counts.dead += sink->copy[id].rows;
    if (sink->staging)
        return copy_staged(sink, id, ret_result, fault);
    if (sink->direct != (int)id)
        r = start_direct(sink, id, ret_result, fault);
    if (!r)
        r = feed(sink, id, true, fault);
    if (!r)
        r = end_copy(sink, ret_result, fault);
    sink->direct = -1;
    if (r && *ret_result && postgres_state_is(*ret_result, SQLSTATE_UNIQUE)) {
        PQclear(*ret_result);
        *ret_result = NULL;
        sink->staging = true;
        r = postgres_run(&sink->postgres, "ROLLBACK TO SAVEPOINT purser_copy", "turning to an upsert", fault);
        return r ? r : copy_staged(sink, id, ret_result, fault);
    }
    if (!r && id != TABLE_DEAD)
        sink->counts.rows += sink->copy[id].rows;
    return r;
}

static int put_ledger(PostgresSink *sink, const SinkBatch *batch, PGresult **ret_result, Fault *fault)
{
    CLEANUP_MEM char *run = mem_dup(batch->run.ptr, batch->run.len),
                     *file = mem_dup(batch->file.ptr, batch->file.len);
    CLEANUP_MEM char *retriever = mem_dup(batch->retriever.ptr, batch->retriever.len);
    char sql[1024];
    const char *parameter[] = {run, file, retriever};
    snprintf(
        sql, sizeof(sql),
        "INSERT INTO ingest_ledger (purser_run, file, batch, retriever, end_byte, end_line, new_or_changed,"
        " unchanged, dead, observed_at) VALUES ($1, $2, %llu, $3, %llu, %llu, %llu, %llu, %llu,"
        " timestamptz 'epoch' + %lld * interval '1 microsecond')",
        (unsigned long long)batch->number, (unsigned long long)batch->end_byte,
        (unsigned long long)batch->end_line, (unsigned long long)sink->counts.rows,
        (unsigned long long)sink->counts.unchanged, (unsigned long long)sink->counts.dead,
        (long long)sink->observed);
    PGresult *result = PQexecParams(sink->postgres.connection, sql, 3, NULL, parameter, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        return 0;
    }
    *ret_result = result;
    return postgres_failed(&sink->postgres, result, "writing ingest_ledger", fault);
}

static int flush_batch(PostgresSink *sink, const SinkBatch *batch, PGresult **ret_result, Fault *fault)
{
    int r = 0, first = sink->direct;
    sink->counts = (SinkCounts){0};
    if (first >= 0) /* it is under way, and must end before another can begin */
        r = flush_table(sink, (TableId)first, ret_result, fault);
    for (int id = 0; id < TABLE_COUNT && !r; id++)
        if (id != first)
            r = flush_table(sink, (TableId)id, ret_result, fault);
    return r ? r : put_ledger(sink, batch, ret_result, fault);
}

static int begin_again(PostgresSink *sink, unsigned attempt, Fault *fault)
{
    struct timespec pause = {.tv_nsec = (long)(attempt + 1) * 20000000};
    nanosleep(&pause, NULL);
    sink->staging = true;
    sink->direct = -1;
    return postgres_run(&sink->postgres, "ROLLBACK; BEGIN", "beginning a batch again", fault);
}

static int postgres_sink_commit(RowSink *base, const SinkBatch *batch, SinkCounts *ret_counts, Fault *fault)
{
    PostgresSink *sink = (PostgresSink *)base;
    int r;
    for (unsigned attempt = 0;; attempt++) {
        CLEANUP_RESULT PGresult *result = NULL;
        r = flush_batch(sink, batch, &result, fault);
        if (!r || !result || attempt == ATTEMPTS || !postgres_worth_retrying(result))
            break;
        r = begin_again(sink, attempt, fault);
        if (r)
            break;
    }
    if (!r)
        r = postgres_run(&sink->postgres, "COMMIT", "committing a batch", fault);
    if (!r)
        *ret_counts = sink->counts;
    return r;
}

/* Nothing of the batch may stay, and the server's locks go at once. */
static void postgres_sink_abandon(RowSink *base)
{
    PostgresSink *sink = (PostgresSink *)base;
    PGconn *connection = sink->postgres.connection;
    forget_batch(sink);
    sink->schema_known = false;
    if (PQtransactionStatus(connection) == PQTRANS_ACTIVE) { /* in the middle of a COPY */
        PQputCopyEnd(connection, "the batch is given up");
        for (PGresult *result; PQstatus(connection) == CONNECTION_OK && (result = PQgetResult(connection));)
            PQclear(result);
    }
    if (PQtransactionStatus(connection) == PQTRANS_INERROR ||
        PQtransactionStatus(connection) == PQTRANS_INTRANS)
        PQclear(PQexec(connection, "ROLLBACK"));
}

static RowSink *postgres_sink_close(RowSink *base)
{
    PostgresSink *sink = (PostgresSink *)base;
    postgres_disconnect(&sink->postgres);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        buf_done(&sink->copy[i].bytes);
        buf_done(&sink->copy[i].columns);
    }
    mem_free(sink);
    return NULL;
}

static const SinkOps postgres_ops = {
    .ready = postgres_sink_ready,
    .migrate = postgres_sink_migrate,
    .check = postgres_sink_check,
    .claim = postgres_sink_claim,
    .release = postgres_sink_release,
    .progress = postgres_sink_progress,
    .begin = postgres_sink_begin,
    .row = postgres_sink_row,
    .commit = postgres_sink_commit,
    .abandon = postgres_sink_abandon,
    .stream_get = postgres_stream_get,
    .stream_set = postgres_stream_set,
    .run_put = postgres_run_put,
    .seal_put = postgres_seal_put,
    .seals = postgres_seals,
    .count = postgres_count,
    .prune = postgres_prune,
    .close = postgres_sink_close,
};

RowSink *sink_postgres_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata)
{
    PostgresSink *sink = MEM_NEW(PostgresSink);
    sink->postgres =
        (Postgres){.sink.ops = &postgres_ops, .setup = setup, .credential = credential, .userdata = userdata};
    sink->direct = -1;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        sink->copy[i].bytes.max = POSTGRES_COPY_MAX;
        sink->copy[i].columns.max = 4096;
    }
    return &sink->postgres.sink;
}
