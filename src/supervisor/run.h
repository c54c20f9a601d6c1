/* One run of one retriever, from its preparation to its rows in the sink. A state machine on the supervisor's
 * loop.
 *
 *   WAITING    another run of this retriever has not ended yet
 *   PREPARING  purser-exec --prepare builds the environment         (skipped when it is there, or for a
 * command)
 *   RUNNING    gate and purser-exec are up; ends when the runner has reported how the script ended
 *   LOADING    the leases are revoked; a clerk loads what the runner passes
 *   ENDING     the runner ends, the keeper reports what was called, a clerk writes that into collection_run
 *   DONE       run.json is written, the folder cleaned
 * Whatever fails, the run reaches DONE with a status and a sentence. Outputs that were not loaded stay in its
 * folder and are collected by a later run of the same id (collect: no script, no leases).
 */
#pragma once

#include "supervisor/supervisor.h"

#include "ipc/run.h"

typedef enum RunPhase { RUN_WAITING, RUN_PREPARING, RUN_RUNNING, RUN_LOADING, RUN_ENDING, RUN_DONE } RunPhase;

/* Of a run in a pod: its runner is in another container, and has come to the retriever's socket. */
struct RunPlace {
    const char *folder; /* which that container has as POD_FOLDER; NULL: the run is not in a pod */
    int runner; /* its connection, of which the gate gets another descriptor: to see it end. Taken over */
    uid_t uid;
};

#define POD_FOLDER "/run/purser"

typedef struct Run {
    Supervisor *supervisor;
    const Retriever *retriever;
    char id[64];
    UserId user;
    bool collect;
    RunPhase phase;
    RunReport report; /* what run.json says */
    RunPlace place;
    RunFolder folder;
    Environment environment;
    pid_t prepare, runner;
    pid_t killer; /* ends what an earlier run has left; waited for before anything of this one starts */
    int ns_fd, results_fd; /* network namespace; the clerk's end of the results channel */
    Role gate, clerk;
    struct event *gate_event, *clerk_event, *timer;
    int gate_end; /* wait status, once its pid is 0 */
    bool keeper_open, have_loaded, told_to_end;
    bool keeper_told;   /* the report has what was called and refused */
    bool sink_told;     /* it was tried to write this run into the sink's collection_run */
    bool sink_answered; /* what is left to be answered are the heads of the audit */
    Seals sealing;      /* those: what its clerk was told to keep */
} Run;

/* A run that waits for run_start(). Never fails: what goes wrong is in the report. `stream`: where this
 * retriever's stands (0: never). */
Run *run_new(Supervisor *supervisor, const Retriever *retriever, int64_t stream);
/* The same for a run whose outputs were not loaded. */
Run *run_new_collect(Supervisor *supervisor, const Retriever *retriever, const RunReport *old);

/* One that an agent had begun in this pod, before it was killed: there is nothing left to load, only to say
 * so.
 */
Run *run_new_cut_short(Supervisor *supervisor, const Retriever *retriever, const RunReport *old);

/* On the loop's next turn. */
void run_start(Run *run);
void run_refuse(Run *run); /* instead: its status says why, or a token that it needs is not there */

bool run_owns_pid(Run *run, pid_t pid);
void run_child_ended(Run *run, pid_t pid, int wait_status); /* the pid was reaped */
void run_keeper_record(
    Run *run, const IpcRecord *record); /* RUN_SOURCE, RUN_REFUSAL, RUN_LIMIT, RUN_CLOSED of this run */
void run_keeper_gone(Run *run, const char *why);
void run_stop_loading(Run *run); /* its outputs are kept for a later run; one in a pod ends, running or not */
bool run_has_runner(const Run *run); /* in a pod: it has not gone */
void run_terminate(Run *run); /* SIGTERM to its runner: the script gets its grace. One that waits ends */

Run *run_free(Run *run);
