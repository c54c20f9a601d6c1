/* What the parts of a run's state machine (run.c, run-load.c) know of each other. */
#pragma once

#include "supervisor/run.h"

/* The first thing that goes wrong is what the report says. */
void run_set_status(Run *run, RunStatus status, const char *sentence);
void run_keep_output(Run *run);             /* for a later run to load; in a pod nothing can be kept */
uint32_t run_sink_patience(const Run *run); /* s: where results cannot be kept, the database is waited for */
const char *run_fate(const Run *run);       /* what becomes of results that were not loaded: a clause */
void run_enter(Run *run, RunPhase phase, uint64_t seconds); /* ended from here when it lasts longer */
void run_enter_ending(Run *run);
void run_settle(Run *run);  /* it ends now, and well if nothing has gone wrong */
void run_advance(Run *run); /* whatever has just happened: is the run over? */
void run_close_at_keeper(Run *run);
void run_stop_gate(Run *run);

/* In a pod: to a runner that waits for its run to begin, why it does not. */
void run_tell_not(Run *run);
void run_lose_runner(Run *run); /* its container has ended, or it is no longer waited for: to ENDING */

void run_load(Run *run);                              /* LOADING begins */
int run_load_clerk(Run *run, Fault *fault) MUST_USE;  /* starts its clerk and listens to it */
void run_load_records(Run *run);                      /* takes what the clerk has said */
void run_load_failed(Run *run, const char *sentence); /* to ENDING, the outputs kept */
void run_load_stop(Run *run);                         /* lets go of the clerk */

/* ENDING: writes how the run ended into the sink's collection_run, and the audit's heads that wait, with the
 * clerk that has loaded it or one of its own, as soon as the keeper has reported; once. True: it is under
 * way, wait for the clerk's end. */
bool run_tell_sink(Run *run);
