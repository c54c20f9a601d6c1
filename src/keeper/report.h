/* What a run's report says: the kinds of refusals, and on close one record per source and kind. */
#pragma once

#include "ipc/keeper.h"
#include "keeper/keeper.h"

void report_fill(RunRefusal *refusal, const char *code, const char *method, const char *host, Slice path,
                 const char *sentence);

/* Counts it among the run's kinds: same code, method, host and path. Past IPC_MAX_REFUSALS kinds only the
 * audit has it. */
void report_refusal(Run *run, const RunRefusal *refusal);

/* Sends the whole report to the supervisor. */
int report_send(Run *run) MUST_USE;
