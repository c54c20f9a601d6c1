/* What a runner says to its gate over the run's socket, and hears; passed on by the gate to the clerk.
 * Everything that comes from a runner is hostile: the script can impersonate it. Conventions as in
 * ipc/keeper.h; nothing allocates.
 *
 *   runner: HELLO            gate: ENV... CA ROOTS RUN_START
 *   runner: OUTPUT... OUTPUT_REFUSED... RUN_END      (once the script's whole process tree is gone)
 *   gate:   LOADED           (from the clerk; again after a clerk that died: LOADED with result
 * RUN_LOAD_AGAIN, and the runner sends its outputs once more)
 */
#pragma once

#include "ipc/channel.h"

#define RUN_MAX_PATH 1024 /* of an output, relative to $OUTPUTDIR */

/* Sent as RUN_START. */
typedef struct RunLimits {
    uint64_t time_limit, grace; /* us */
    uint64_t output_bytes;
    uint32_t output_files;
    uint16_t port;       /* the only TCP port that the script may connect to, where Landlock can say so */
    bool walls_optional; /* `sandbox: {required: false}` */
} RunLimits;

void run_limits_put(const RunLimits *limits, WireWriter *wire);
int run_limits_get(WireReader *wire, RunLimits *ret_limits) MUST_USE;

/* A plain file of the output folder; its descriptor is beside it. */
typedef struct RunOutput {
    Slice path; /* relative, no "..", at most RUN_MAX_PATH */
    uint64_t size;
} RunOutput;

void run_output_put(const RunOutput *output, WireWriter *wire);
int run_output_get(WireReader *wire, RunOutput *ret_output) MUST_USE;

typedef struct RunOutputRefused {
    Slice path;
    Slice reason; /* a sentence */
} RunOutputRefused;

void run_output_refused_put(const RunOutputRefused *refused, WireWriter *wire);
int run_output_refused_get(WireReader *wire, RunOutputRefused *ret_refused) MUST_USE;

/* How the script ended. */
typedef struct RunEnd {
    int32_t exit_status; /* 0 to 255; -1 when a signal ended it or it never started */
    int32_t signal;      /* 0: none */
    bool timed_out;
    bool collected_only; /* a collect run: no script was started */
    uint32_t outputs;    /* OUTPUT records that were sent */
} RunEnd;

void run_end_put(const RunEnd *end, WireWriter *wire);
int run_end_get(WireReader *wire, RunEnd *ret_end) MUST_USE;

typedef enum RunLoadResult {
    RUN_LOAD_OK,
    RUN_LOAD_FAILED, /* nothing is lost: the outputs stay and are loaded later */
    RUN_LOAD_AGAIN,  /* send the outputs once more */
} RunLoadResult;

typedef struct RunLoaded {
    uint8_t result;     /* RunLoadResult */
    uint64_t rows;      /* new or changed */
    uint64_t unchanged; /* were there already */
    uint64_t dead;      /* lines and files in dead_letter */
    uint32_t files;
    Slice sentence; /* "" or what went wrong */
} RunLoaded;

void run_loaded_put(const RunLoaded *loaded, WireWriter *wire);
int run_loaded_get(WireReader *wire, RunLoaded *ret_loaded) MUST_USE;
