/* The exit statuses of purser-exec, beside the script's own; `purser-exec --help` lists them. */
#pragma once

#include "ipc/run.h"

typedef enum RunnerStatus {
    STATUS_NOT_LOADED = 121,
    STATUS_NO_GATE = 122,
    STATUS_BROKEN = 123,
    STATUS_TIMED_OUT = 124,
    STATUS_SIGNAL = 128, /* + the signal */
} RunnerStatus;

static inline int status_of_end(const RunEnd *end)
{
    return end->timed_out          ? STATUS_TIMED_OUT
           : end->signal           ? STATUS_SIGNAL + end->signal
           : end->exit_status >= 0 ? end->exit_status
                                   : STATUS_BROKEN;
}
