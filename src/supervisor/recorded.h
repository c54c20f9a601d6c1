/* `purser policy record`: what a run has asked for, as the keeper tells it when the run is closed. A
 * supervisor that has such a list gives its runs' grants `mode: audit` for their time, and loads nothing into
 * the sink. */
#pragma once

#include "ipc/keeper.h"
#include "policy/narrow.h"

#define RECORDED_MAX 2000 /* kinds of requests; the keeper keeps no more either */

typedef struct Recorded {
    PolicySeen *seen; /* paths from the root of their host */
    uint32_t *source; /* of each */
    size_t n;
    uint64_t lost; /* requests that were not kept */
} Recorded;

void recorded_take(Recorded *recorded, const RunSeen *seen);
void recorded_done(Recorded *recorded);
