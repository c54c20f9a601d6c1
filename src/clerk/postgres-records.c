/* What purser keeps in PostgreSQL beside the rows of scripts. See postgres.h. */
#include "base/mem.h"
#include "clerk/postgres.h"
#include "clerk/schema.h"
#include "clerk/seal.h"

#include <stdio.h>

int postgres_stream_get(RowSink *base, Slice retriever, int64_t *ret_until, Fault *fault)
{
    CLEANUP_MEM char *name = mem_dup(retriever.ptr, retriever.len);
    const char *parameter[] = {name};
    return postgres_query_i64((Postgres *)base,
                              "SELECT (extract(epoch FROM until_at) * 1000000)::bigint FROM stream_state"
                              " WHERE retriever = $1",
                              parameter, 1, "reading stream_state", ret_until, fault);
}

int postgres_stream_set(RowSink *base, Slice retriever, Slice run, int64_t until, Fault *fault)
{
    CLEANUP_MEM char *name = mem_dup(retriever.ptr, retriever.len), *run_text = mem_dup(run.ptr, run.len);
    CLEANUP_RESULT PGresult *result = NULL;
    char until_text[24];
    snprintf(until_text, sizeof(until_text), "%lld", (long long)until);
    const char *parameter[] = {name, run_text, until_text};
    return postgres_query((Postgres *)base,
                          "INSERT INTO stream_state (retriever, purser_run, until_at)"
                          " VALUES ($1, $2, least(now(),"
                          " timestamptz 'epoch' + $3::bigint * interval '1 microsecond'))"
                          " ON CONFLICT (retriever) DO UPDATE SET until_at = excluded.until_at,"
                          " purser_run = excluded.purser_run WHERE excluded.until_at > stream_state.until_at"
                          " OR stream_state.until_at > now()",
                          parameter, 3, "writing stream_state", &result, fault);
}

int postgres_run_put(RowSink *base, const ClerkRun *run, Fault *fault)
{
    const Slice text[] = {run->run, run->retriever, run->status, run->sources, run->refusals};
    const int64_t number[] = {run->exit_status, run->started, run->ended, run->since, run->until};
    char *copy[COUNT_OF(text)], digits[COUNT_OF(number)][24];
    const char *parameter[COUNT_OF(text) + COUNT_OF(number)];
    CLEANUP_RESULT PGresult *result = NULL;
    for (size_t i = 0; i < COUNT_OF(text); i++)
        parameter[i] = copy[i] = mem_dup(text[i].ptr, text[i].len);
    for (size_t i = 0; i < COUNT_OF(number); i++) {
        snprintf(digits[i], sizeof(digits[i]), "%lld", (long long)number[i]);
        parameter[COUNT_OF(text) + i] = digits[i];
    }
#define TIME(parameter) "timestamptz 'epoch' + $" parameter "::bigint * interval '1 microsecond'"
    int r = postgres_query((Postgres *)base,
                           "INSERT INTO collection_run (purser_run, retriever, status, sources, refusals,"
                           " exit_status, started_at, ended_at, since_at, until_at, observed_at)"
                           " VALUES ($1, $2, $3, nullif($4, '')::jsonb, nullif($5, '')::jsonb,"
                           " nullif($6::bigint, -1), " TIME("7") ", " TIME("8") ", " TIME("9") ", " TIME(
                               "10") ", now()) ON CONFLICT DO NOTHING",
                           parameter, COUNT_OF(parameter), "writing collection_run", &result, fault);
    for (size_t i = 0; i < COUNT_OF(copy); i++)
        mem_free(copy[i]);
    return r;
}

int postgres_seal_put(RowSink *base, const ClerkSeal *seal, Fault *fault)
{
    CLEANUP_RESULT PGresult *result = NULL;
    char head[SEAL_HEX], number[24], time[24];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)seal->number);
    snprintf(time, sizeof(time), "%lld", (long long)seal->time);
    const char *parameter[] = {seal->installation, number,    seal_head_text(seal, head),
                               seal->retriever,    seal->run, time};
    return postgres_query(
        (Postgres *)base,
        "INSERT INTO " SCHEMA_SEALS " (installation, number, head, retriever, purser_run,"
        " observed_at) VALUES ($1, $2, $3, $4, $5,"
        " timestamptz 'epoch' + $6::bigint * interval '1 microsecond') ON CONFLICT DO NOTHING",
        parameter, 6, "writing " SCHEMA_SEALS, &result, fault);
}

int postgres_seals(RowSink *base, Slice installation, SinkSeal *each, void *userdata, Fault *fault)
{
    CLEANUP_MEM char *name = mem_dup(installation.ptr, installation.len);
    CLEANUP_RESULT PGresult *result = NULL;
    const char *parameter[] = {name};
    int r = postgres_query(
        (Postgres *)base,
        "SELECT number, installation, head, retriever, purser_run, to_char(observed_at AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM " SCHEMA_SEALS " WHERE installation = $1"
        " OR installation LIKE $1 || '-%' ORDER BY installation, number",
        parameter, 1, "reading " SCHEMA_SEALS, &result, fault);
    for (int i = 0; !r && i < PQntuples(result); i++) {
        SealRow row = {.number = strtoull(PQgetvalue(result, i, 0), NULL, 10)};
        for (int k = 0; k < SEAL_TEXTS; k++)
            row.text[k] = slice_of(PQgetvalue(result, i, k + 1));
        r = seal_each(&row, each, userdata);
    }
    return r;
}

int postgres_count(RowSink *base, const char *table, uint64_t *ret_rows, Fault *fault)
{
    char sql[128];
    int64_t rows = 0;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    int r = postgres_query_i64((Postgres *)base, sql, NULL, 0, "counting rows", &rows, fault);
    if (!r)
        *ret_rows = (uint64_t)rows;
    return r;
}

/* Deleting is the owner's right; without an owner role, the loading role's, if it owns the tables or was
 * granted it. */
static int prune_as_owner(const Postgres *postgres, const char *sql, const char *before, int64_t *ret_rows,
                          Fault *fault)
{
    const char *parameter[] = {before};
    int r = postgres_run(postgres, "BEGIN; SET LOCAL statement_timeout = 0", "pruning", fault);
    if (!r && *postgres->setup->owner_role)
        r = postgres_run_with_role(postgres, "SET LOCAL ROLE", postgres->setup->owner_role,
                                   "becoming the owner role", fault);
    if (!r)
        r = postgres_query_i64(postgres, sql, parameter, 1, "pruning", ret_rows, fault);
    if (!r)
        return postgres_run(postgres, "COMMIT", "pruning", fault);
    PQclear(PQexec(postgres->connection, "ROLLBACK"));
    return r;
}

int postgres_prune(RowSink *base, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                   Fault *fault)
{
    const Postgres *postgres = (const Postgres *)base;
    char sql[256], before_text[24];
    const char *parameter[] = {before_text};
    int64_t rows = 0;
    snprintf(before_text, sizeof(before_text), "%lld", (long long)before);
    snprintf(
        sql, sizeof(sql),
        dry_run
            ? "SELECT count(*) FROM %s WHERE observed_at < timestamptz 'epoch' + $1::bigint * interval '1 us'"
            : "WITH gone AS (DELETE FROM %s WHERE observed_at < timestamptz 'epoch' + $1::bigint *"
              " interval '1 us' RETURNING 1) SELECT count(*) FROM gone",
        table);
    int r = dry_run ? postgres_query_i64(postgres, sql, parameter, 1, "counting what is old", &rows, fault)
                    : prune_as_owner(postgres, sql, before_text, &rows, fault);
    if (!r)
        *ret_rows = (uint64_t)rows;
    return r;
}
