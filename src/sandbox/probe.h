/* Private to sandbox/ and its tests: a child process goes through a wall and tries something; what became of
 * it. */
#pragma once

#include "sandbox/sandbox.h"

typedef enum ProbeEnd {
    PROBE_DONE,    /* it was allowed to */
    PROBE_REFUSED, /* `error` says how */
    PROBE_KILLED,  /* by SIGSYS */
    PROBE_BROKEN,  /* the wall did not go up, or the child ended in another way: nothing is known */
} ProbeEnd;

typedef struct ProbeResult {
    ProbeEnd end;
    int error;       /* errno of the attempt or of the wall */
    int wait_status; /* of the child */
} ProbeResult;

typedef int ProbeStep(const void *context); /* 0 or -errno */

/* Both run in the child: the wall first, then the attempt. */
ProbeResult probe_run(ProbeStep *wall, const void *wall_context, ProbeStep *attempt, const void *context);

/* The wall is sandbox_enter(). */
ProbeResult probe_role(const SandboxSpec *spec, ProbeStep *attempt, const void *context);
