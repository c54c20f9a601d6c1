/* The schema of an SQLite file: which version it has, and bringing it up to date. See sqlite.h. */
#include "clerk/schema.h"
#include "clerk/sqlite.h"

#include <errno.h>
#include <unistd.h>

/* 0: no schema yet. */
static int read_version(const Sqlite *sqlite, int64_t *ret_version, Fault *fault)
{
    int64_t exists = 0, version = 0;
    int r = sqlite_query_i64(
        sqlite, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'purser_schema'", &exists,
        fault);
    if (!r && exists)
        r = sqlite_query_i64(sqlite, "SELECT max(version) FROM purser_schema", &version, fault);
    if (!r)
        *ret_version = version;
    return r;
}

static int judge_version(const Sqlite *sqlite, int64_t version, Fault *fault)
{
    if (version > SCHEMA_VERSION)
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "%s: its schema has version %lld, and this purser knows up to %d: use a newer purser",
            sqlite->setup->path, (long long)version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION && !sqlite->setup->migrate)
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: %s, and `migrate: false` forbids to change that: set `migrate: true` once",
                         sqlite->setup->path,
                         version ? "its schema is older than this purser" : "it has no schema yet");
    return 0;
}

static int migrate(const Sqlite *sqlite, Fault *fault)
{
    int64_t version = 0;
    int r = sqlite_execute(sqlite, "BEGIN EXCLUSIVE", "locking it for a migration", fault);
    if (r)
        return r;
    r = read_version(sqlite, &version, fault); /* again: another purser may have been faster */
    if (!r)
        r = judge_version(sqlite, version, fault);
    for (; !r && version < SCHEMA_VERSION; version++) {
        CLEANUP_BUF Buf sql = BUF_INIT(64u << 10);
        if (schema_migration(SQL_SQLITE, (unsigned)version + 1, &sql))
            r = fault_set(fault, CLERK_E_SCHEMA, "the schema's text is too long");
        else
            r = sqlite_execute(sqlite, buf_text(&sql), "creating tables", fault);
    }
    if (!r)
        r = sqlite_execute(sqlite, "COMMIT", "creating tables", fault);
    if (r)
        sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

int sqlite_ready(const Sqlite *sqlite, Fault *fault)
{
    int64_t version = 0;
    int r = read_version(sqlite, &version, fault);
    if (!r)
        r = judge_version(sqlite, version, fault);
    if (!r && version < SCHEMA_VERSION)
        r = migrate(sqlite, fault);
    return r;
}

int sqlite_check(Sqlite *sqlite, Buf *report, Fault *fault)
{
    const char *path = sqlite->setup->path;
    int64_t version = 0;
    if (!sqlite->db && access(path, F_OK) < 0 && errno == ENOENT && sqlite->setup->migrate)
        return buf_printf(report, "SQLite file %s does not exist yet; the first run makes it\n", path)
                   ? CLERK_E_FULL
                   : 0;
    int r = sqlite_connect(sqlite, false, fault);
    if (!r)
        r = read_version(sqlite, &version, fault);
    if (!r)
        r = judge_version(sqlite, version, fault);
    if (!r)
        r = sqlite_execute(sqlite, "BEGIN IMMEDIATE; ROLLBACK", "asking whether it can be written", fault);
    if (!r && buf_printf(report, "SQLite file %s: schema version %lld%s\n", path, (long long)version,
                         version < SCHEMA_VERSION ? ", which the first run brings up to date" : ""))
        r = CLERK_E_FULL;
    return r;
}
