/* The results channel: what the runner hands over goes to a clerk. The clerk may come only after the runner
 * has said everything, so what the kernel does not take waits here, descriptors and all, up to RESULTS_MAX
 * records; past that the runner is not read until there is room again.
 */
#pragma once

#include "ipc/run.h"

#include <event2/event.h>

#define RESULTS_MAX     4096
#define RESULTS_PAYLOAD 2600 /* the longest: a refused output's path and reason */

struct Gate;

typedef struct WaitingResult {
    uint16_t type;
    uint16_t len;
    int fd; /* -1: none */
    char *payload;
} WaitingResult;

typedef struct Results {
    IpcPeer peer; /* to the clerk */
    struct event *read_event, *write_event, *retry_event;
    WaitingResult *waiting; /* a ring */
    size_t first, n;
    bool ended, said; /* the runner's RUN_END has come; the runner was told what became of its results */
} Results;

void results_open(struct Gate *gate);
bool results_full(const struct Gate *gate);

/* Takes the descriptor over (-1: none). Never fails for the caller: without a clerk's end what comes is
 * dropped, and at its RUN_END the runner hears that nothing was loaded. */
void results_send(struct Gate *gate, uint16_t type, Slice payload, int fd);

/* Passes on what the clerk has said already: before the gate ends. */
void results_pass_on(struct Gate *gate);
