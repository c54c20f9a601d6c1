/* What purser keeps in an SQLite file beside the rows of scripts. See sqlite.h. */
#include "clerk/schema.h"
#include "clerk/seal.h"
#include "clerk/sqlite.h"

#include <stdio.h>

int sqlite_stream_get(RowSink *base, Slice retriever, int64_t *ret_until, Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        sqlite_prepare(sqlite, "SELECT until_at FROM stream_state WHERE retriever = ?", &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, retriever);
    int step = sqlite3_step(statement);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return sqlite_failed(sqlite, "reading stream_state", fault);
    int64_t until = 0;
    if (step == SQLITE_ROW && clock_parse((Slice){(const char *)sqlite3_column_text(statement, 0),
                                                  (size_t)sqlite3_column_bytes(statement, 0)},
                                          &until))
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: stream_state holds no time for this retriever; correct its row",
                         sqlite->setup->path);
    *ret_until = until;
    return 0;
}

int sqlite_stream_set(RowSink *base, Slice retriever, Slice run, int64_t until, Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char text[CLOCK_TEXT], now[CLOCK_TEXT];
    int r = sqlite_prepare(sqlite,
                           "INSERT INTO stream_state (retriever, until_at, purser_run) VALUES (?1, ?2, ?3)"
                           " ON CONFLICT (retriever) DO UPDATE SET until_at = ?2, purser_run = ?3"
                           " WHERE ?2 > stream_state.until_at OR stream_state.until_at > ?4",
                           &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, retriever);
    sqlite_bind(statement, 2, sqlite_time(sqlite, until, text));
    sqlite_bind(statement, 3, run);
    sqlite_bind(statement, 4, sqlite_time(sqlite, clock_wall(), now));
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : sqlite_failed(sqlite, "writing stream_state", fault);
}

static void bind_json(sqlite3_stmt *statement, int at, Slice json)
{
    if (json.len)
        sqlite_bind(statement, at, json);
}

int sqlite_run_put(RowSink *base, const ClerkRun *run, Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    const int64_t time[] = {run->started, run->ended, run->since, run->until, clock_wall()};
    char text[COUNT_OF(time)][CLOCK_TEXT];
    int r = sqlite_prepare(
        sqlite,
        "INSERT INTO collection_run (purser_run, retriever, status, exit_status, sources, refusals,"
        " started_at, ended_at, since_at, until_at, observed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT DO NOTHING",
        &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, run->run);
    sqlite_bind(statement, 2, run->retriever);
    sqlite_bind(statement, 3, run->status);
    if (run->exit_status >= 0)
        sqlite3_bind_int64(statement, 4, run->exit_status);
    bind_json(statement, 5, run->sources);
    bind_json(statement, 6, run->refusals);
    for (size_t i = 0; i < COUNT_OF(time); i++)
        sqlite_bind(statement, 7 + (int)i, sqlite_time(sqlite, time[i], text[i]));
    return sqlite3_step(statement) == SQLITE_DONE ? 0
                                                  : sqlite_failed(sqlite, "writing collection_run", fault);
}

int sqlite_seal_put(RowSink *base, const ClerkSeal *seal, Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char time[CLOCK_TEXT], head[SEAL_HEX];
    int r = sqlite_prepare(sqlite,
                           "INSERT INTO " SCHEMA_SEALS
                           " (installation, number, head, retriever, purser_run, observed_at)"
                           " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                           &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, slice_of(seal->installation));
    sqlite3_bind_int64(statement, 2, (int64_t)seal->number);
    sqlite_bind(statement, 3, slice_of(seal_head_text(seal, head)));
    sqlite_bind(statement, 4, slice_of(seal->retriever));
    sqlite_bind(statement, 5, slice_of(seal->run));
    sqlite_bind(statement, 6, sqlite_time(sqlite, seal->time, time));
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : sqlite_failed(sqlite, "writing " SCHEMA_SEALS, fault);
}

static Slice text_column(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);
    return (Slice){text ? text : "", text ? (size_t)sqlite3_column_bytes(statement, at) : 0};
}

int sqlite_seals(RowSink *base, Slice installation, SinkSeal *each, void *userdata, Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int step = SQLITE_ROW;
    int r = sqlite_prepare(
        sqlite,
        "SELECT number, installation, head, retriever, purser_run, observed_at FROM " SCHEMA_SEALS
        " WHERE installation = ?1 OR installation LIKE ?1 || '-%' ORDER BY installation, number",
        &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, installation);
    while (!r && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        SealRow row = {.number = (uint64_t)sqlite3_column_int64(statement, 0)};
        for (int i = 0; i < SEAL_TEXTS; i++)
            row.text[i] = text_column(statement, i + 1);
        r = seal_each(&row, each, userdata);
    }
    return r ? r : step == SQLITE_DONE ? 0 : sqlite_failed(sqlite, "reading " SCHEMA_SEALS, fault);
}

int sqlite_count(RowSink *base, const char *table, uint64_t *ret_rows, Fault *fault)
{
    char sql[128];
    int64_t rows = 0;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    int r = sqlite_query_i64((Sqlite *)base, sql, &rows, fault);
    if (!r)
        *ret_rows = (uint64_t)rows;
    return r;
}

int sqlite_prune(RowSink *base, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                 Fault *fault)
{
    Sqlite *sqlite = (Sqlite *)base;
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    char sql[128], text[CLOCK_TEXT];
    snprintf(sql, sizeof(sql), "%s FROM %s WHERE observed_at < ?", dry_run ? "SELECT count(*)" : "DELETE",
             table);
    int r = sqlite_prepare(sqlite, sql, &statement, fault);
    if (r)
        return r;
    sqlite_bind(statement, 1, sqlite_time(sqlite, before, text));
    int step = sqlite3_step(statement);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return sqlite_failed(sqlite, "pruning", fault);
    *ret_rows = (uint64_t)(dry_run ? sqlite3_column_int64(statement, 0) : sqlite3_changes64(sqlite->db));
    return 0;
}
