/* One text in SQL for both databases. What differs is said by words with a dollar: types ($key, $text, $int,
 * $real, $time, $json), and functions whose arguments are parted by ";", listed in sql.c:
 *
 *   $either(now(); strftime('%s', 'now'))     PostgreSQL's text; SQLite's
 *   $span(started_at; completed_at)           seconds
 *
 * The texts are purser's own (schema.c, views.sql); a word that is not known stays as it is.
 */
#pragma once

#include "base/buf.h"

typedef enum SqlDialect { SQL_SQLITE, SQL_POSTGRES } SqlDialect;

/* -ENOBUFS; -EINVAL: an argument has no end, or there are too many. */
int sql_expand(Slice text, SqlDialect dialect, Buf *sql) MUST_USE;

/* The views of views.sql by name, from *at on (begin with the whole text): false after the last. */
bool sql_next_view(Slice *at, Slice *ret_name);
