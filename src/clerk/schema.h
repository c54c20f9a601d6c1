/* The schema in SQL, versioned, one text for both databases. Version n+1 is a further entry at the end of the
 * list in schema.c: what has been released is never edited.
 *
 * Times are timestamptz in PostgreSQL; in SQLite text in UTC with milliseconds (2020-06-05T14:11:38.000Z),
 * which sorts by time and which Grafana, SQLite's own date functions and people read. JSON is jsonb, or text
 * that json_extract() takes. Keys compare by bytes.
 */
#pragma once

#include "clerk/sql.h"
#include "clerk/table.h"

#define SCHEMA_VERSION 3
#define VIEWS_VERSION  2                  /* makes the views of views.sql */
#define SCHEMA_LOCK    0x7075727365720001 /* PostgreSQL's advisory lock while migrating */

/* What no role of purser's may change once it is there. */
#define SCHEMA_SEALS "audit_seal"

/* Every table there is, for counting, granting, pruning; ends with NULL. */
extern const char *const schema_tables[];

/* What leads from version - 1 to version (1 to SCHEMA_VERSION), with the row of purser_schema. */
int schema_migration(SqlDialect dialect, unsigned version, Buf *sql) MUST_USE;

/* For a DBA: owner, loader and reader roles, tables, grants. `owner` may be "". */
int schema_for_dba(const char *owner, Buf *sql) MUST_USE;

/* "a, b, c" of all views. */
int schema_views(Buf *sql) MUST_USE;

/* "a, b, c" of all columns, or of the key. */
int schema_columns(const Table *table, bool key_only, Buf *sql) MUST_USE;

/* " ON CONFLICT (key) DO UPDATE ...": a row is replaced by one that was observed later, or by a later line of
 * the same run; a dead letter never. */
int schema_on_conflict(const Table *table, Buf *sql) MUST_USE;
