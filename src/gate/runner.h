/* The run's runner: one peer on the run's socket, with the uid that the supervisor named. It is told the
 * run's variables with their leases, CA and roots, and hands over what the script left. Hostile: the script
 * can impersonate it.
 */
#pragma once

#include "ipc/run.h"

#include <event2/event.h>

struct Gate;

typedef struct Runner {
    IpcPeer peer; /* fd -1: none */
    struct event *accept_event, *event;
    char **lease;  /* one per source of the run; NULL: none came; wiped once they were passed on */
    bool greeted;  /* said HELLO */
    bool finished; /* the supervisor knows how the run ended */
    uint32_t outputs, refused; /* passed on */
    uint64_t bytes;
} Runner;

void runner_open(struct Gate *gate);

/* From the keeper, after LEASES_WANTED: `source` is an index into gate->source. */
void runner_take_lease(struct Gate *gate, size_t source, Slice text);
void runner_leases_end(struct Gate *gate);

void runner_resume(struct Gate *gate); /* there is room for results again */
void runner_loaded(struct Gate *gate, const RunLoaded *loaded);

/* The variables of the script, each handed to `give` (env.c); stops at the first failure. */
typedef int RunEnvGive(struct Gate *gate, const char *name, Slice value);
int run_env_each(struct Gate *gate, RunEnvGive *give) MUST_USE;
