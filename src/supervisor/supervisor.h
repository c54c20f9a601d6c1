/* The supervisor: one keeper, a gate and a runner per run, a clerk when there is something to load; one event
 * loop. */
#pragma once

#include "supervisor/clerk-link.h"
#include "supervisor/environment.h"
#include "supervisor/recorded.h"
#include "supervisor/report.h"
#include "supervisor/rotate-watch.h"
#include "supervisor/seals.h"

#include <event2/event.h>

typedef struct Run Run;
typedef struct Supervisor Supervisor;

typedef struct RunPlace RunPlace;

/* A run has reached DONE; the Run is freed after this returns. */
typedef void RunEnded(Supervisor *supervisor, const RunReport *report);

/* A process of purser's beside the runs, which serves none: a rotation. */
typedef struct Aside {
    pid_t pid;
    void (*ended)(void *context, pid_t pid);
    void *context;
} Aside;

struct Supervisor {
    const Config *config;
    const Paths *paths;
    State *state;
    struct event_base *base;
    KeeperLink keeper;
    Role first_clerk; /* started beside the keeper, for supervisor_windows() */
    Role first_gate;  /* and this one for the first run, where one starts_now */
    bool starts_now;  /* set by the caller: runs follow at once */
    bool in_pod;      /* set by the caller: runners are in other containers */
    bool sink_asked;  /* first_clerk has its first command */
    struct event *keeper_event, *ping_event, *child_event, *term_event, *int_event;
    Run **run;
    size_t n_run;
    Run **ended; /* freed once nothing of theirs is on the stack */
    size_t n_ended;
    RotateWatch *rotate_watch; /* NULL: none could be made */
    Aside *aside;
    size_t n_aside;
    unsigned next_socket; /* number of the next run's socket folder */
    bool isolated;        /* runs have a network namespace of their own */
    bool draining;        /* SIGTERM: no new runs, those that run get their time */
    unsigned told_to_end; /* 1: drain, 2: scripts get SIGTERM, 3: loading ends too */
    bool keeper_gone;
    unsigned pings;     /* asked of the keeper since it last answered */
    Seals seals;        /* of the audit, not in the sink yet */
    bool sink_failed;   /* a load or a seal: it is not tried once more only for seals */
    Recorded *recorded; /* `purser policy record`; NULL otherwise */
    RunEnded *on_run_ended;
    void (*on_draining)(Supervisor *supervisor); /* NULL, or: told to end, for the first time */
    void *context;
};

/* Opens the state, starts the keeper for the sources of these retrievers. An exit status after saying why, or
 * -1. */
int supervisor_open(Supervisor *supervisor, const Config *config, const Paths *paths, State *state,
                    const bool *used);
void supervisor_close(Supervisor *supervisor);

/* Brings the schema up to date and asks how far each retriever has come (window_since: one per retriever of
 * the configuration, 0: never). The sink's outage is not fatal: what this machine remembers is used. */
int supervisor_windows(Supervisor *supervisor, int64_t *ret_window_since, Fault *fault) MUST_USE;

/* Whether each source of a retriever has its token, after saying which has not: its script could only fail.
 */
bool supervisor_has_tokens(const Supervisor *supervisor, const Retriever *retriever);
/* A run of it, or of what one had left, is under way or waits. */
bool supervisor_is_busy(const Supervisor *supervisor, const Retriever *retriever);

/* Starts a run as soon as no other of its retriever is under way (they share a user id); it is in
 * supervisor->run until it ends. */
void supervisor_start_run(Supervisor *supervisor, const Retriever *retriever, int64_t window_since);
/* The same for a runner that has come to its socket; `place` is taken over. */
void supervisor_start_run_in_pod(Supervisor *supervisor, const Retriever *retriever, int64_t window_since,
                                 RunPlace *place);
/* A run that is over before it could begin: it is only reported. */
void supervisor_report_run(Supervisor *supervisor, const Retriever *retriever, int64_t window_since,
                           RunStatus status, const char *sentence);
/* In a pod, of an agent that was killed: the runs that it has begun are reported as cut short. had_run: per
 * retriever, whether it has had one in this pod. */
void supervisor_report_cut_short(Supervisor *supervisor, bool *ret_had_run);
/* Takes up runs whose outputs were not loaded, of the retrievers that `used_retriever` marks. */
void supervisor_collect_left_over(Supervisor *supervisor, const bool *used_retriever);

/* Watches a child that the caller has started: it is waited for when the supervisor drains. */
void supervisor_watch(Supervisor *supervisor, Aside aside);

/* One turn of the loop: waits for something to happen. */
int supervisor_turn(Supervisor *supervisor) MUST_USE;
/* Runs the loop until no run is left and, when `until_drained`, until it was told to end. */
int supervisor_loop(Supervisor *supervisor, bool until_drained);

/* For run.c. */
void supervisor_take_seal(Supervisor *supervisor, const RunClosed *closed, const char *retriever);
void supervisor_run_done(Supervisor *supervisor, Run *run);
void supervisor_hear_keeper(Supervisor *supervisor); /* what it has said already */
void supervisor_end_orphans(Supervisor *supervisor); /* what a runner that was killed has left behind */
