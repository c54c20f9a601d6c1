/* What the supervisor tells the clerk and hears from it. Conventions as in ipc/keeper.h.
 *
 *   supervisor: SETUP, then commands one at a time (CHECK MIGRATE COUNT PRUNE SCHEMA STREAM LOAD INGEST RUN
 *   SEAL SEALS)
 *   clerk: [STREAM_IS | ROWS... | TEXT...| LOADED | SEAL_IS...] DONE for each
 * The clerk locks itself in after SETUP, before it connects.
 */
#pragma once

#include "config/config.h"
#include "ipc/run.h"

/* Descriptor, if has_credential: the clerk's end of a channel on which the keeper sends the database
 * credential. */
typedef struct ClerkSetup {
    uint8_t kind; /* SinkKind */
    bool migrate;
    bool has_credential;
    bool sandbox_optional;
    char *path; /* SQLite */
    char *dsn;  /* PostgreSQL */
    char *owner_role;
    char *reader_role; /* "": none; it is given the views */
} ClerkSetup;

void clerk_setup_put(const ClerkSetup *setup, WireWriter *wire);
int clerk_setup_get(WireReader *wire, ClerkSetup *ret_setup) MUST_USE;
void clerk_setup_done(ClerkSetup *setup);

/* LOAD: beside it the clerk's end of the run's results channel, on which OUTPUT, OUTPUT_REFUSED, RUN_END come
 * and LOADED goes back. INGEST: beside it one file's descriptor. */
typedef struct ClerkLoad {
    char *run; /* id: the ledger's key together with the file's name */
    char *retriever;
    char *file;    /* INGEST: its name (relative, for the ledger and for what kind of file it is) */
    char **source; /* names that this retriever is granted; a line may speak only for one of them */
    size_t n_source;
    int64_t since,
        until;        /* wall us: the run's window; metric samples are of its end, stream_state moves to it */
    int64_t observed; /* wall us: purser's own clock when the run ended; "later" is decided by it */
    uint64_t output_bytes;
    uint32_t output_files;
    bool advance;      /* move stream_state to `until` when all is loaded (the script succeeded) */
    uint32_t patience; /* s that a database which cannot be reached is waited for, before anything is taken */
} ClerkLoad;

void clerk_load_put(const ClerkLoad *load, WireWriter *wire);
int clerk_load_get(WireReader *wire, ClerkLoad *ret_load) MUST_USE;
void clerk_load_done(ClerkLoad *load);

/* RUN: how a run ended, for the sink's collection_run; one that is there already stays as it is. Borrowed
 * text, valid as long as the record. */
typedef struct ClerkRun {
    Slice run, retriever, status;
    int32_t exit_status;                  /* -1: the script did not end by itself */
    int64_t started, ended, since, until; /* wall us */
    Slice sources, refusals;              /* JSON, a list and an object; "": not known */
} ClerkRun;

void clerk_run_put(const ClerkRun *run, WireWriter *wire);
int clerk_run_get(WireReader *wire, ClerkRun *ret_run) MUST_USE;

typedef struct ClerkPrune {
    bool dry_run;
    uint64_t rows, dead_letters, seals; /* us; 0: keep */
} ClerkPrune;

void clerk_prune_put(const ClerkPrune *prune, WireWriter *wire);
int clerk_prune_get(WireReader *wire, ClerkPrune *ret_prune) MUST_USE;

/* ROWS: a table and its number of rows (PRUNE: rows that went, or would go). */
typedef struct ClerkRows {
    char table[64];
    uint64_t rows;
} ClerkRows;

void clerk_rows_put(const ClerkRows *rows, WireWriter *wire);
int clerk_rows_get(WireReader *wire, ClerkRows *ret_rows) MUST_USE;

/* A head of the audit (audit/audit.h), as the sink keeps it. */
typedef struct ClerkSeal {
    char installation[40];
    uint64_t number;
    unsigned char head[32];
    char run[64];
    char retriever[64];
    int64_t time; /* wall us */
} ClerkSeal;

void clerk_seal_put(const ClerkSeal *seal, WireWriter *wire);
int clerk_seal_get(WireReader *wire, ClerkSeal *ret_seal) MUST_USE;

enum { /* ClerkDone.result */
       CLERK_OK = 0,
       CLERK_E_OUTAGE = 1, /* the database cannot be reached, or went away: try again later */
       CLERK_E_SCHEMA =
           2,            /* newer than this program, missing while `migrate: false`, or rights are missing */
       CLERK_E_DATA = 3, /* what was to be loaded cannot be read at all */
       CLERK_E_FULL = 4, /* no room */
       CLERK_E_REFUSED =
           5, /* the database does not let us in (password, role, certificate), or its credential
                 is not to be had: the same as an outage, but that waiting does not help */
};

typedef struct ClerkDone {
    uint8_t result;
    char sentence[768];
} ClerkDone;

void clerk_done_put(const ClerkDone *done, WireWriter *wire);
int clerk_done_get(WireReader *wire, ClerkDone *ret_done) MUST_USE;
