/* Private to the PostgreSQL sink: connecting safely, asking, and what an answer means for us. */
#pragma once

#include "clerk/sink.h"

#include <libpq-fe.h>

#define SQLSTATE_UNIQUE "23505"

typedef struct Postgres {
    RowSink sink;
    const ClerkSetup *setup;
    SinkCredential *credential;
    void *userdata;
    PGconn *connection; /* NULL: never connected */
} Postgres;

/* Connects, or connects again; nothing to do when the connection is good and idle. A remote server is
 * verified in full unless the DSN says otherwise; no file or variable of the user's is asked. */
int postgres_connect(Postgres *postgres, Fault *fault) MUST_USE;
void postgres_disconnect(Postgres *postgres);

/* Where it leads: for sentences. No secret. */
const char *postgres_server(const Postgres *postgres);

/* One of CLERK_E_*, with the server's own words in the sentence. `result` may be NULL: the connection's. */
int postgres_failed(const Postgres *postgres, const PGresult *result, const char *what,
                    Fault *fault) MUST_USE;

/* The same transaction may well succeed when it is tried again: deadlock, serialization. */
bool postgres_worth_retrying(const PGresult *result);
bool postgres_state_is(const PGresult *result, const char *sqlstate);

/* Several statements, no answer wanted. */
int postgres_run(const Postgres *postgres, const char *sql, const char *what, Fault *fault) MUST_USE;

/* `prefix` and a role's name, quoted. */
int postgres_run_with_role(const Postgres *postgres, const char *prefix, const char *role, const char *what,
                           Fault *fault) MUST_USE;

/* One statement with text parameters. The result is the caller's; on failure it is NULL. */
int postgres_query(const Postgres *postgres, const char *sql, const char *const *parameter, int n_parameter,
                   const char *what, PGresult **ret_result, Fault *fault) MUST_USE;
/* Its first column of its first row as a number; 0 when it is NULL. */
int postgres_query_i64(const Postgres *postgres, const char *sql, const char *const *parameter,
                       int n_parameter, const char *what, int64_t *ret_value, Fault *fault) MUST_USE;

static inline void postgres_clear(PGresult **result)
{
    PQclear(*result);
}
#define CLEANUP_RESULT CLEANUP(postgres_clear)

/* postgres-schema.c: looks at the version, migrates under an advisory lock as the owner, says what is
 * missing. */
int postgres_ready(const Postgres *postgres, Fault *fault) MUST_USE;
int postgres_check(const Postgres *postgres, Buf *report, Fault *fault) MUST_USE;
/* Lets the reader role (if one is set) read each view, unless it may already; with `migrate: false` it only
 * says what is missing. */
int postgres_let_read(const Postgres *postgres, Fault *fault) MUST_USE;

/* postgres-records.c: what purser keeps beside the rows of scripts. See SinkOps; the sink is a Postgres. */
int postgres_stream_get(RowSink *base, Slice retriever, int64_t *ret_until, Fault *fault);
int postgres_stream_set(RowSink *base, Slice retriever, Slice run, int64_t until, Fault *fault);
int postgres_run_put(RowSink *base, const ClerkRun *run, Fault *fault);
int postgres_seal_put(RowSink *base, const ClerkSeal *seal, Fault *fault);
int postgres_seals(RowSink *base, Slice installation, SinkSeal *each, void *userdata, Fault *fault);
int postgres_count(RowSink *base, const char *table, uint64_t *ret_rows, Fault *fault);
int postgres_prune(RowSink *base, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                   Fault *fault);

/* postgres-copy.c: rows in COPY's binary form. */
#define POSTGRES_COPY_MAX (256u << 20)
int postgres_copy_header(Buf *buf) MUST_USE;
int postgres_copy_row(Buf *buf, const Row *row) MUST_USE; /* -ENOBUFS */
