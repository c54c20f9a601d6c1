/* What is known of a run when it has ended: kept as run.json in its folder, shown by `purser run` and `purser
 * status`. */
#pragma once

#include "base/json.h"
#include "ipc/keeper.h"
#include "ipc/run.h"

typedef enum RunStatus {
    RUN_IS_RUNNING, /* or purser died while it was */
    RUN_OK,
    RUN_FAILED, /* the script's exit status is not 0, or a signal ended it */
    RUN_TIMED_OUT,
    RUN_NOT_PREPARED, /* its environment could not be built */
    RUN_NOT_STARTED,  /* a fault of purser's, or of the machine: before the script */
    RUN_NO_TOKEN,     /* a token that it needs is not there: nothing was started, no folder made */
    RUN_NOT_LOADED,   /* the script is done, its outputs are kept and will be loaded later */
    RUN_RECORDED,     /* of `purser policy record`: what it had called was wanted, nothing was loaded */
} RunStatus;

typedef struct RunReport {
    char id[64];
    char retriever[64];
    RunStatus status;
    char sentence[768];
    int64_t started, ended; /* wall us */
    int64_t since, until;   /* the window */
    int32_t exit_status, signal;
    uint64_t rows, unchanged, dead;
    uint32_t files;
    bool output_kept; /* to be collected */
    bool advance;     /* the script succeeded: loading moves the stream on */
    RunSource *source;
    char **source_name;
    size_t n_source;
    RunRefusal *refusal;
    size_t n_refusal;
    RunLimit *limit; /* .source is that of a RunSource of this report */
    size_t n_limit;
} RunReport;

#define RUN_MAX_LIMITS 2048

const char *run_status_text(RunStatus status); /* "ok", "failed", "timed-out", ... */

void run_report_json(const RunReport *report, JsonWriter *json, const char *key);
/* As ClerkRun has them: a list of the sources' calls, and how often each code was refused. */
void run_report_sources(const RunReport *report, JsonWriter *json, const char *key);
void run_report_refusal_counts(const RunReport *report, JsonWriter *json);
int run_report_write(const RunReport *report, int folder_fd) MUST_USE; /* run.json */
int run_report_read(int folder_fd, RunReport *ret_report) MUST_USE; /* -EINVAL when it cannot be understood */
void run_report_done(RunReport *report);

/* The reports of STATE/runs, newest first, at most `most`; `retriever` NULL: of all. */
int run_report_list(int runs_fd, const char *retriever, size_t most, RunReport **ret_list,
                    size_t *ret_n) MUST_USE;

/* How long it was, for a person; nothing where the clock was set back meanwhile. */
char *run_report_took(const RunReport *report, char out[static 24]);

/* Tables for a person on standard output. */
void run_report_print_table(const RunReport *list, size_t n);
void run_report_print_refusals(const RunReport *list, size_t n);
void run_report_print_limits(const RunReport *list, size_t n); /* the latest of each source */
