/* A database that rows go to: SQLite (sink-sqlite.c) or PostgreSQL (sink-postgres.c), behind one table of
 * functions.
 *
 * A batch is some consecutive lines of one file of one run. Its rows, its dead letters and its row of
 * ingest_ledger are one transaction, and the ledger says where the batch ended; so whatever dies when,
 * loading the file again goes on exactly behind the last batch that is in the database (promise 18).
 *
 * Functions return 0, or a CLERK_E_* of ipc/clerk.h with a sentence that says what to do. After a failure the
 * batch is gone as a whole (the caller says abandon()), and the sink can be used again: it connects anew.
 */
#pragma once

#include "clerk/credential.h"
#include "clerk/row.h"
#include "ipc/clerk.h"

typedef struct SinkProgress { /* what ingest_ledger has of a file of a run */
    uint64_t batches;
    uint64_t end_byte, end_line;
    uint64_t rows; /* new, changed and unchanged */
    uint64_t dead;
} SinkProgress;

typedef struct SinkBatch {
    Slice run, file, retriever;
    uint64_t number;             /* from 0 */
    uint64_t end_byte, end_line; /* where it ends */
} SinkBatch;

typedef struct SinkCounts {
    uint64_t rows; /* new or changed */
    uint64_t unchanged, dead;
} SinkCounts;

typedef struct RowSink RowSink;
typedef int SinkSeal(void *userdata, const ClerkSeal *seal); /* 0 or -errno */

typedef struct SinkOps {
    /* Connects and brings the schema up to date, or says why not. Cheap when that is done. */
    int (*ready)(RowSink *sink, Fault *fault);
    /* The same, and sees to it that the reader role may read the views. */
    int (*migrate)(RowSink *sink, Fault *fault);
    /* Connects and looks, changing nothing; what there is to say goes into `report`, a line each. */
    int (*check)(RowSink *sink, Buf *report, Fault *fault);

    /* No other clerk loads this run until release(). */
    int (*claim)(RowSink *sink, Slice run, Fault *fault);
    void (*release)(RowSink *sink);

    int (*progress)(RowSink *sink, Slice run, Slice file, SinkProgress *ret_progress, Fault *fault);
    /* *ret_observed is `observed`, but never beyond the database's now. */
    int (*begin)(RowSink *sink, int64_t observed, int64_t *ret_observed, Fault *fault);
    int (*row)(RowSink *sink, const Row *row, Fault *fault);
    int (*commit)(RowSink *sink, const SinkBatch *batch, SinkCounts *ret_counts, Fault *fault);
    void (*abandon)(RowSink *sink);

    int (*stream_get)(RowSink *sink, Slice retriever, int64_t *ret_until, Fault *fault); /* 0: never */
    int (*stream_set)(RowSink *sink, Slice retriever, Slice run, int64_t until,
                      Fault *fault); /* never back, but from the future */

    /* Into collection_run; a run that is there stays as it is. */
    int (*run_put)(RowSink *sink, const ClerkRun *run, Fault *fault);
    /* Keeps a head of the audit; one that is there with that number stays as it is. */
    int (*seal_put)(RowSink *sink, const ClerkSeal *seal, Fault *fault);
    /* Calls for each head of this installation's, and of its pods' (INSTALLATION-CHAIN), in their order;
     * stops when that fails. */
    int (*seals)(RowSink *sink, Slice installation, SinkSeal *each, void *userdata, Fault *fault);

    int (*count)(RowSink *sink, const char *table, uint64_t *ret_rows, Fault *fault);
    /* Rows of `table` observed before `before`; deletes them unless `dry_run`. */
    int (*prune)(RowSink *sink, const char *table, int64_t before, bool dry_run, uint64_t *ret_rows,
                 Fault *fault);

    RowSink *(*close)(RowSink *sink); /* frees; returns NULL */
} SinkOps;

struct RowSink {
    const SinkOps *ops;
};

/* Nothing is opened yet. `setup` is borrowed and outlives the sink. */
RowSink *sink_sqlite_new(const ClerkSetup *setup);

/* `credential` is called once, at the first connection, and what it returns is wiped as soon as libpq has its
 * own copy; NULL when the DSN alone is enough. CLERK_E_* and a sentence. */
typedef int SinkCredential(void *userdata, Credential *ret_credential, Fault *fault);
RowSink *sink_postgres_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata);
