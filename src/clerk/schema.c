/* The schema in SQL. See schema.h. */
#include "clerk/schema.h"

#include "clerk/views-sql.h"

const char *const schema_tables[] = {"ci_run",
                                     "ci_job",
                                     "ci_test_result",
                                     "ci_deployment",
                                     "ci_queue_sample",
                                     "metric_sample",
                                     "ingest_ledger",
                                     "stream_state",
                                     "dead_letter",
                                     "collection_run",
                                     SCHEMA_SEALS,
                                     "purser_schema",
                                     NULL};

/* Words with a dollar: sql.h. */
#define ORIGIN                                                                                               \
    "  extra $json,                      -- fields of the line that no column takes\n"                       \
    "  retriever $text NOT NULL,\n"                                                                          \
    "  purser_run $text NOT NULL,        -- the run of purser that brought it\n"                             \
    "  observed_at $time NOT NULL,       -- by purser's clock; a later one replaces the row\n"

static const char version_1[] =
    "CREATE TABLE purser_schema (version $int PRIMARY KEY, applied_at $time NOT NULL);\n"
    "CREATE TABLE ci_run (\n"
    "  source $key NOT NULL,\n"
    "  scope $key NOT NULL,              -- what the ids are unique in: owner/repository, pipeline, project\n"
    "  external_id $key NOT NULL,\n"
    "  attempt $int NOT NULL,\n"
    "  name $text, branch $text, commit_sha $text, event $text,\n"
    "  status $text NOT NULL,            -- success failure cancelled skipped neutral timed_out running "
    "queued unknown\n"
    "  status_original $text, conclusion_original $text,\n"
    "  created_at $time, started_at $time, completed_at $time,\n"
    "  url $text,\n" ORIGIN "  PRIMARY KEY (source, scope, external_id, attempt));\n"
    "CREATE TABLE ci_job (\n"
    "  source $key NOT NULL,\n"
    "  scope $key NOT NULL,\n"
    "  external_id $key NOT NULL,\n"
    "  attempt $int NOT NULL,\n"
    "  run_id $text, run_attempt $int,   -- external_id and attempt of its ci_run\n"
    "  name $text, workflow $text,\n"
    "  status $text NOT NULL, status_original $text, conclusion_original $text,\n"
    "  queued_at $time, started_at $time, completed_at $time,\n"
    "  runner $text, url $text,\n"
    "  labels $json,                     -- a list\n" ORIGIN
    "  PRIMARY KEY (source, scope, external_id, attempt));\n"
    "CREATE TABLE ci_test_result (\n"
    "  source $key NOT NULL,\n"
    "  scope $key NOT NULL,\n"
    "  external_id $key NOT NULL,        -- test:HASH of job_id, suite and name when the line has no id\n"
    "  job_id $text, suite $text, name $text,\n"
    "  status $text NOT NULL, status_original $text,\n"
    "  duration_s $real, at $time, message $text,\n" ORIGIN "  PRIMARY KEY (source, scope, external_id));\n"
    "CREATE TABLE ci_deployment (\n"
    "  source $key NOT NULL,\n"
    "  scope $key NOT NULL,\n"
    "  external_id $key NOT NULL,\n"
    "  environment $text,\n"
    "  status $text NOT NULL, status_original $text,\n"
    "  at $time, branch $text, commit_sha $text, url $text,\n" ORIGIN
    "  PRIMARY KEY (source, scope, external_id));\n"
    "CREATE TABLE ci_queue_sample (\n"
    "  source $key NOT NULL,\n"
    "  scope $key NOT NULL,\n"
    "  name $key NOT NULL,\n"
    "  at $time NOT NULL,\n"
    "  waiting $int, running $int, agents $int,\n" ORIGIN "  PRIMARY KEY (source, scope, name, at));\n"
    "CREATE TABLE metric_sample (\n"
    "  retriever $key NOT NULL,\n"
    "  name $key NOT NULL,               -- of a .dat file: its path without .dat\n"
    "  at $time NOT NULL,                -- the end of the run's window, unless the line says another time\n"
    "  labels_hash $key NOT NULL,        -- '' without labels\n"
    "  value $real NOT NULL,\n"
    "  labels $json NOT NULL,\n"
    "  extra $json,\n"
    "  purser_run $text NOT NULL,\n"
    "  observed_at $time NOT NULL,\n"
    "  PRIMARY KEY (retriever, name, at, labels_hash));\n"
    "CREATE TABLE ingest_ledger (         -- one row for each batch of lines, written with its rows\n"
    "  purser_run $key NOT NULL,\n"
    "  file $key NOT NULL,\n"
    "  batch $int NOT NULL,\n"
    "  retriever $text NOT NULL,\n"
    "  end_byte $int NOT NULL, end_line $int NOT NULL, -- where the batch ended in the file\n"
    "  new_or_changed $int NOT NULL, unchanged $int NOT NULL, dead $int NOT NULL,\n"
    "  observed_at $time NOT NULL,\n"
    "  PRIMARY KEY (purser_run, file, batch));\n"
    "CREATE TABLE stream_state (          -- how far each retriever's results have come\n"
    "  retriever $key NOT NULL PRIMARY KEY,\n"
    "  until_at $time NOT NULL,\n"
    "  purser_run $text NOT NULL);\n"
    "CREATE TABLE dead_letter (           -- what could not be loaded\n"
    "  purser_run $key NOT NULL,\n"
    "  file $key NOT NULL,\n"
    "  line $int NOT NULL,               -- 0: the whole file\n"
    "  retriever $text NOT NULL,\n"
    "  reason $text NOT NULL,\n"
    "  content $text NOT NULL,           -- its first 4096 bytes, control characters escaped\n"
    "  observed_at $time NOT NULL,\n"
    "  PRIMARY KEY (purser_run, file, line));\n";

/* Indexes by time are for dashboards, which read PostgreSQL. Where a load brings many rows it is BRIN, which
 * costs a load next to nothing and serves, because rows come about in the order of their times. */
static const char version_2[] =
    "CREATE TABLE collection_run (        -- a run of a retriever, once its results are loaded\n"
    "  purser_run $key NOT NULL PRIMARY KEY,\n"
    "  retriever $text NOT NULL,\n"
    "  status $text NOT NULL,            -- ok failed timed-out not-prepared not-started\n"
    "  exit_status $int,                 -- its script's; NULL: it did not end by itself\n"
    "  started_at $time NOT NULL, ended_at $time NOT NULL,\n"
    "  since_at $time NOT NULL, until_at $time NOT NULL, -- its window\n"
    "  sources $json,                    -- a list: the calls of each source; NULL: not known\n"
    "  refusals $json,                   -- an object: code, and how often; NULL: not known\n"
    "  observed_at $time NOT NULL);\n"
    "$index(ci_run_completed; ci_run (completed_at))"
    "$index(ci_job_times; ci_job USING brin (completed_at, started_at) WITH (pages_per_range = 32))"
    "$index(ci_test_result_at; ci_test_result USING brin (at) WITH (pages_per_range = 32))"
    "$index(metric_sample_at; metric_sample USING brin (at) WITH (pages_per_range = 32))"
    "$index(ci_queue_sample_at; ci_queue_sample (at))"
    "$index(ingest_ledger_observed; ingest_ledger (observed_at))"
    "$index(collection_run_ended; collection_run (ended_at))";

/* The audit's heads: no role of purser's may change one that is there. */
static const char version_3[] =
    "CREATE TABLE " SCHEMA_SEALS " (            -- heads of the audits' chains: `purser audit verify`\n"
    "  installation $key NOT NULL,       -- whose audit: made of its key\n"
    "  number $int NOT NULL,             -- of the record\n"
    "  head $text NOT NULL,              -- its mac\n"
    "  retriever $text NOT NULL,\n"
    "  purser_run $text NOT NULL,        -- the run whose end it is\n"
    "  observed_at $time NOT NULL,\n"
    "  PRIMARY KEY (installation, number));\n";

static const char *const migrations[SCHEMA_VERSION] = {version_1, version_2, version_3};

int schema_migration(SqlDialect dialect, unsigned version, Buf *sql)
{
    int r = sql_expand(slice_of(migrations[version - 1]), dialect, sql);
    if (!r && version == VIEWS_VERSION)
        r = sql_expand(slice_of(VIEWS_SQL), dialect, sql);
    if (r)
        return r;
    return buf_printf(sql, "INSERT INTO purser_schema (version, applied_at) VALUES (%u, %s);\n", version,
                      dialect == SQL_SQLITE ? "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" : "now()");
}

/* A role's name as an SQL identifier. */
static int put_identifier(Buf *sql, const char *name)
{
    int r = buf_append_text(sql, "\"");
    for (; *name && !r; name++)
        r = *name == '"' ? buf_append_text(sql, "\"\"") : buf_append(sql, name, 1);
    return r ? r : buf_append_text(sql, "\"");
}

int schema_views(Buf *sql)
{
    Slice at = slice_of(VIEWS_SQL), name;
    int r = 0;
    while (!r && sql_next_view(&at, &name))
        r = buf_printf(sql, "%s%.*s", sql->len ? ", " : "", (int)name.len, name.ptr);
    return r;
}

/* A session of Grafana's can hold nothing up and change nothing, whatever a panel asks. */
#define READER                                                                                               \
    "ALTER ROLE purser_reader SET default_transaction_read_only = on;\n"                                     \
    "ALTER ROLE purser_reader SET statement_timeout = '30s';\n"                                              \
    "ALTER ROLE purser_reader SET idle_in_transaction_session_timeout = '60s';\n"

int schema_for_dba(const char *owner, Buf *sql)
{
    CLEANUP_BUF Buf role = BUF_INIT(256);
    CLEANUP_BUF Buf views = BUF_INIT(4096);
    int r = put_identifier(&role, *owner ? owner : "purser_owner");
    if (r)
        return r;
    r = buf_printf(
        sql,
        "-- purser's tables (schema version %u), for a database whose owner creates them by hand.\n"
        "-- Run once, connected to that database, as a role that may create roles; then set\n"
        "-- `migrate: false` under sink.postgres in purser.yaml.\n"
        "BEGIN;\n"
        "CREATE ROLE %s NOLOGIN;             -- owns the tables\n"
        "CREATE ROLE purser_loader LOGIN;    -- purser connects as this one; give it a password\n"
        "CREATE ROLE purser_reader LOGIN;    -- Grafana connects as this one, and sees the views only\n"
        "CREATE SCHEMA IF NOT EXISTS purser AUTHORIZATION %s;\n"
        "GRANT USAGE ON SCHEMA purser TO purser_loader, purser_reader;\n"
        "ALTER ROLE purser_loader SET search_path = purser;\n"
        "ALTER ROLE purser_reader SET search_path = purser;\n" READER "SET LOCAL search_path = purser;\n"
        "SET LOCAL ROLE %s;\n",
        SCHEMA_VERSION, buf_text(&role), buf_text(&role), buf_text(&role));
    for (unsigned version = 1; version <= SCHEMA_VERSION && !r; version++)
        r = schema_migration(SQL_POSTGRES, version, sql);
    if (!r)
        r = schema_views(&views);
    if (!r)
        r = buf_printf(sql, "GRANT SELECT ON %s TO purser_reader;\n", buf_text(&views));
    if (!r)
        r = buf_append_text(sql, "GRANT SELECT ON ALL TABLES IN SCHEMA purser TO purser_loader;\n"
                                 "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA purser TO purser_loader;\n"
                                 "REVOKE INSERT, UPDATE ON purser_schema FROM purser_loader;\n"
                                 "REVOKE UPDATE ON " SCHEMA_SEALS " FROM purser_loader;\n"
                                 "-- Only if purser is to remove old rows (`retain:`, purser prune):\n"
                                 "-- GRANT DELETE ON ALL TABLES IN SCHEMA purser TO purser_loader;\n"
                                 "COMMIT;\n");
    return r;
}

int schema_columns(const Table *table, bool key_only, Buf *sql)
{
    int r = 0;
    bool first = true;
    for (size_t i = 0; i < table->n_column && !r; i++) {
        if (key_only && !table->column[i].key)
            continue;
        r = buf_printf(sql, "%s%s", first ? "" : ", ", table->column[i].name);
        first = false;
    }
    return r;
}

int schema_on_conflict(const Table *table, Buf *sql)
{
    int r = buf_append_text(sql, " ON CONFLICT (");
    if (!r)
        r = schema_columns(table, true, sql);
    if (!r)
        r = buf_append_text(sql, table->replaced ? ") DO UPDATE SET " : ") DO NOTHING");
    if (!table->replaced)
        return r;
    bool first = true;
    for (size_t i = 0; i < table->n_column && !r; i++) {
        const char *name = table->column[i].name;
        if (table->column[i].key)
            continue;
        r = buf_printf(sql, "%s%s = excluded.%s", first ? "" : ", ", name, name);
        first = false;
    }
    if (r)
        return r;
    return buf_printf(sql,
                      " WHERE excluded.observed_at > %s.observed_at OR (excluded.observed_at = %s.observed_at"
                      " AND excluded.purser_run = %s.purser_run)",
                      table->name, table->name, table->name);
}
