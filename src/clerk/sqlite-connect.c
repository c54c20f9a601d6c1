/* The SQLite file. See sqlite.h.
 *
 * WAL, synchronous=FULL: a batch that was reported is on the disk, also after a power cut (measured: a batch
 * of 50,000 rows pays for one fsync). One writer at a time; another waits up to a minute. */
#include "clerk/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BUSY_MS 60000

void sqlite_disconnect(Sqlite *sqlite)
{
    sqlite3_close(sqlite->db);
    sqlite->db = NULL;
}

/* SQLite's own answer as one of ours. */
int sqlite_failed(const Sqlite *sqlite, const char *what, Fault *fault)
{
    int code = sqlite3_extended_errcode(sqlite->db), error = sqlite3_system_errno(sqlite->db);
    const char *path = sqlite->setup->path, *message = sqlite3_errmsg(sqlite->db);
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

int sqlite_execute(const Sqlite *sqlite, const char *sql, const char *what, Fault *fault)
{
    return sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                        : sqlite_failed(sqlite, what, fault);
}

/* Turning a new file to WAL does not wait for another process that does the same: it says busy at once. */
static int set_up(const Sqlite *sqlite, Fault *fault)
{
    static const char pragmas[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
        "PRAGMA cache_size = -32768";
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t end = clock_mono() + (int64_t)BUSY_MS * 1000;
    while (sqlite3_exec(sqlite->db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        if (sqlite3_errcode(sqlite->db) != SQLITE_BUSY || clock_mono() > end)
            return sqlite_failed(sqlite, "opening it", fault);
        nanosleep(&pause, NULL);
    }
    return 0;
}

int sqlite_connect(Sqlite *sqlite, bool create, Fault *fault)
{
    if (sqlite->db)
        return 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(sqlite->setup->path, &sqlite->db, flags, NULL) != SQLITE_OK) {
        int r = sqlite_failed(sqlite, "opening it", fault);
        sqlite_disconnect(sqlite);
        return r;
    }
    sqlite3_busy_timeout(sqlite->db, BUSY_MS);
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int r = set_up(sqlite, fault);
    if (r)
        sqlite_disconnect(sqlite);
    return r;
}

int sqlite_prepare(const Sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement, Fault *fault)
{
    return sqlite3_prepare_v2(sqlite->db, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? 0
               : sqlite_failed(sqlite, "preparing a statement", fault);
}

/* The first column of the first row; untouched when there is none. */
int sqlite_query_i64(const Sqlite *sqlite, const char *sql, int64_t *ret_value, Fault *fault)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sqlite_prepare(sqlite, sql, &statement, fault);
    if (r)
        return r;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : sqlite_failed(sqlite, "asking it", fault);
}

static void put_two(char *at, int value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
}

/* 2020-06-05T14:11:38.000Z. Most times of a file are of few days, so the date is kept. */
Slice sqlite_time(Sqlite *sqlite, int64_t us, char out[CLOCK_TEXT])
{
    const int64_t day_us = (int64_t)86400 * CLOCK_SECOND;
    int64_t day = us / day_us - (us % day_us < 0), rest = us - day * day_us; /* before 1970, too */
    if (day != sqlite->day || !sqlite->day_text[0]) {
        clock_format(sqlite->day_text, day * day_us);
        sqlite->day = day;
    }
    int ms = (int)(rest / 1000), seconds = ms / 1000;
    memcpy(out, sqlite->day_text, 11);
    memcpy(out + 11, "00:00:00.000Z", 14);
    put_two(out + 11, seconds / 3600);
    put_two(out + 14, seconds / 60 % 60);
    put_two(out + 17, seconds % 60);
    out[20] = (char)('0' + ms / 100 % 10);
    put_two(out + 21, ms % 100);
    return (Slice){out, 24};
}
