/* The schema's version in PostgreSQL, migrations, and rights. See postgres.h. */
#include "base/mem.h"
#include "clerk/postgres.h"
#include "clerk/schema.h"

#include <stdio.h>

#define TOO_MANY_VIEWS "the list of views is too long"

/* 0: no schema yet. */
static int read_version(const Postgres *postgres, int64_t *ret_version, Fault *fault)
{
    int64_t exists = 0, version = 0;
    int r = postgres_query_i64(postgres, "SELECT (to_regclass('purser_schema') IS NOT NULL)::int", NULL, 0,
                               "looking for the schema", &exists, fault);
    if (!r && exists)
        r = postgres_query_i64(postgres, "SELECT max(version) FROM purser_schema", NULL, 0,
                               "reading the schema's version", &version, fault);
    if (!r)
        *ret_version = version;
    return r;
}

static int judge_version(const Postgres *postgres, int64_t version, Fault *fault)
{
    if (version > SCHEMA_VERSION)
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: the schema has version %lld, and this purser knows up to %d: use a newer purser",
            postgres_server(postgres), (long long)version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION && !postgres->setup->migrate)
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: %s, and `migrate: false` forbids to change that: `purser schema --sql` prints it for a DBA",
            postgres_server(postgres),
            version ? "the schema is older than this purser" : "there is no schema yet");
    return 0;
}

/* As the owner: the loading role may add and correct rows, and nothing else. */
static int grant(const Postgres *postgres, Fault *fault)
{
    const char *what = "granting the loading role its rights", *user = PQuser(postgres->connection);
    int r = postgres_run_with_role(postgres, "GRANT SELECT ON purser_schema TO", user, what, fault);
    for (size_t i = 0; schema_tables[i] && !r; i++) {
        char prefix[128];
        snprintf(prefix, sizeof(prefix), "GRANT SELECT, INSERT%s ON %s TO",
                 strcmp(schema_tables[i], SCHEMA_SEALS) == 0 ? "" : ", UPDATE", schema_tables[i]);
        if (strcmp(schema_tables[i], "purser_schema") != 0)
            r = postgres_run_with_role(postgres, prefix, user, what, fault);
    }
    return r;
}

typedef int Change(const Postgres *postgres, Fault *fault);

/* In a transaction of the owner's, one purser at a time: of two that change the same rights at once the
 * server turns one down ("tuple concurrently updated"). The transaction begins when the lock is held: an
 * earlier one could still believe that there is no schema. */
static int change_alone(const Postgres *postgres, Change *change, const char *what, Fault *fault)
{
    char lock[64], unlock[80];
    const char *owner = postgres->setup->owner_role;
    snprintf(lock, sizeof(lock), "SELECT pg_advisory_lock(%lld)", (long long)SCHEMA_LOCK);
    snprintf(unlock, sizeof(unlock), "SELECT pg_advisory_unlock(%lld)", (long long)SCHEMA_LOCK);
    int r = postgres_run(postgres, lock, "waiting for another purser that changes the schema", fault);
    if (r)
        return r;
    r = postgres_run(postgres, "BEGIN", what, fault);
    if (!r && *owner)
        r = postgres_run_with_role(postgres, "SET LOCAL ROLE", owner, "becoming the owner role", fault);
    r = r ? r : change(postgres, fault);
    r = r ? r : postgres_run(postgres, "COMMIT", what, fault);
    if (r)
        PQclear(PQexec(postgres->connection, "ROLLBACK"));
    PQclear(PQexec(postgres->connection, unlock));
    return r;
}

static int migrate(const Postgres *postgres, Fault *fault)
{
    int64_t version = 0;
    int r = read_version(postgres, &version, fault); /* again: another purser may have been faster */
    if (!r)
        r = judge_version(postgres, version, fault);
    bool any = version < SCHEMA_VERSION;
    for (; !r && version < SCHEMA_VERSION; version++) {
        CLEANUP_BUF Buf sql = BUF_INIT(64u << 10);
        if (schema_migration(SQL_POSTGRES, (unsigned)version + 1, &sql))
            r = fault_set(fault, CLERK_E_SCHEMA, "the schema's text is too long");
        else
            r = postgres_run(postgres, buf_text(&sql), "creating tables", fault);
    }
    if (!r && any && *postgres->setup->owner_role)
        r = grant(postgres, fault);
    return r;
}

int postgres_ready(const Postgres *postgres, Fault *fault)
{
    int64_t version = 0;
    int r = read_version(postgres, &version, fault);
    if (!r)
        r = judge_version(postgres, version, fault);
    return r || version == SCHEMA_VERSION ? r
                                          : change_alone(postgres, migrate, "migrating the schema", fault);
}

/* How many views the reader role may not read. */
static int count_unreadable(const Postgres *postgres, const char *views, int64_t *ret_n, Fault *fault)
{
    const char *parameter[] = {views, postgres->setup->reader_role};
    return postgres_query_i64(
        postgres,
        "SELECT count(*) FROM unnest(string_to_array($1, ', ')) AS v"
        " WHERE NOT (has_table_privilege($2, to_regclass(v), 'SELECT') AND has_schema_privilege($2,"
        " (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(v)), 'USAGE'))",
        parameter, 2, "looking at the reader role's rights", ret_n, fault);
}

#define LETTING_READ "letting the reader role read"

static int grant_views(const Postgres *postgres, Fault *fault)
{
    const char *reader = postgres->setup->reader_role;
    CLEANUP_BUF Buf views = BUF_INIT(4096);
    CLEANUP_RESULT PGresult *schema = NULL;
    int r = schema_views(&views) ? fault_set(fault, CLERK_E_SCHEMA, TOO_MANY_VIEWS) : 0;
    CLEANUP_MEM char *select = mem_printf("GRANT SELECT ON %s TO", buf_text(&views));
    if (!r)
        r = postgres_query(postgres, "SELECT quote_ident(current_schema())", NULL, 0, LETTING_READ, &schema,
                           fault);
    if (!r) {
        CLEANUP_MEM char *usage = mem_printf("GRANT USAGE ON SCHEMA %s TO", PQgetvalue(schema, 0, 0));
        r = postgres_run_with_role(postgres, usage, reader, LETTING_READ, fault);
    }
    return r ? r : postgres_run_with_role(postgres, select, reader, LETTING_READ, fault);
}

static int check_reader_role(const Postgres *postgres, Fault *fault)
{
    const char *reader = postgres->setup->reader_role;
    int64_t there = 0;
    int r = postgres_query_i64(postgres, "SELECT count(*) FROM pg_roles WHERE rolname = $1", &reader, 1,
                               "looking for the reader role", &there, fault);
    if (r || there)
        return r;
    return fault_set(fault, CLERK_E_SCHEMA,
                     "%s: there is no role %s, which sink.postgres.readerRole names: CREATE ROLE it, or take "
                     "the key out",
                     postgres_server(postgres), reader);
}

int postgres_let_read(const Postgres *postgres, Fault *fault)
{
    CLEANUP_BUF Buf views = BUF_INIT(4096);
    int64_t unreadable = 0;
    if (!*postgres->setup->reader_role)
        return 0;
    int r = check_reader_role(postgres, fault);
    if (!r && schema_views(&views))
        r = fault_set(fault, CLERK_E_SCHEMA, TOO_MANY_VIEWS);
    if (!r)
        r = count_unreadable(postgres, buf_text(&views), &unreadable, fault);
    if (r || unreadable == 0)
        return r;
    if (postgres->setup->migrate)
        return change_alone(postgres, grant_views, LETTING_READ, fault);
    return fault_set(fault, CLERK_E_SCHEMA,
                     "%s: role %s may not read %lld of the views, and `migrate: false` forbids to grant it; "
                     "`purser schema --sql` prints the grants",
                     postgres_server(postgres), postgres->setup->reader_role, (long long)unreadable);
}

static int check_rights(const Postgres *postgres, Fault *fault)
{
    CLEANUP_RESULT PGresult *result = NULL;
    int r = postgres_query(
        postgres,
        "SELECT string_agg(t, ', ') FROM unnest(ARRAY['ci_run', 'ci_job', 'ci_test_result', 'ci_deployment',"
        " 'ci_queue_sample', 'metric_sample', 'ingest_ledger', 'stream_state', 'dead_letter', "
        "'collection_run', '" SCHEMA_SEALS "']) AS t"
        " WHERE to_regclass(t) IS NULL OR NOT (has_table_privilege(to_regclass(t), 'SELECT')"
        " AND has_table_privilege(to_regclass(t), 'INSERT') AND (t = '" SCHEMA_SEALS
        "' OR has_table_privilege(to_regclass(t), 'UPDATE')))",
        NULL, 0, "looking at rights", &result, fault);
    if (r)
        return r;
    if (!PQgetisnull(result, 0, 0))
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: role %s may not read, insert and update %s; `purser schema --sql` prints the grants",
            postgres_server(postgres), PQuser(postgres->connection), PQgetvalue(result, 0, 0));
    int64_t temporary = 0;
    r = postgres_query_i64(postgres, "SELECT has_database_privilege(current_database(), 'TEMP')::int", NULL,
                           0, "looking at rights", &temporary, fault);
    if (!r && !temporary)
        r = fault_set(fault, CLERK_E_SCHEMA,
                      "%s: role %s may not make temporary tables, which purser needs to correct rows: "
                      "GRANT TEMPORARY ON DATABASE",
                      postgres_server(postgres), PQuser(postgres->connection));
    return r;
}

static int check_may_create(const Postgres *postgres, Fault *fault)
{
    int64_t may = 0;
    const char *owner = postgres->setup->owner_role, *role = *owner ? owner : PQuser(postgres->connection);
    int r = postgres_query_i64(postgres,
                               "SELECT (pg_has_role(current_user, $1, 'MEMBER')"
                               " AND has_schema_privilege($1, current_schema(), 'CREATE'))::int",
                               &role, 1, "looking at rights", &may, fault);
    if (!r && !may)
        r = fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: role %s cannot create tables there as %s; `purser schema --sql` prints what a DBA can run "
            "instead",
            postgres_server(postgres), PQuser(postgres->connection), role);
    return r;
}

int postgres_check(const Postgres *postgres, Buf *report, Fault *fault)
{
    int64_t version = 0;
    PGconn *connection = postgres->connection;
    int r = read_version(postgres, &version, fault);
    if (!r)
        r = judge_version(postgres, version, fault);
    if (!r)
        r = version ? check_rights(postgres, fault) : check_may_create(postgres, fault);
    if (!r && *postgres->setup->reader_role)
        r = check_reader_role(postgres, fault);
    if (r)
        return r;
    const char *tls = PQsslInUse(connection) ? "with TLS" : "without TLS";
    if (buf_printf(report, "%s: server %s, role %s, %s, schema version %lld%s\n", postgres_server(postgres),
                   PQparameterStatus(connection, "server_version"), PQuser(connection), tls,
                   (long long)version,
                   version < SCHEMA_VERSION ? ", which the first run brings up to date" : ""))
        return fault_set(fault, CLERK_E_DATA, "the report is too long");
    return 0;
}
