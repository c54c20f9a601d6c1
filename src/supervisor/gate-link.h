/* The supervisor's side of a run's gate: starting it with the run's sockets and sources. */
#pragma once

#include "ipc/gate.h"
#include "supervisor/run.h"

/* Makes sockets and channels, opens the run at the keeper, starts the gate and tells it what its run is.
 * Fills in run->gate, ->ns_fd, ->results_fd, ->keeper_open. */
int gate_begin(Run *run, Fault *fault) MUST_USE;
/* Waits until it is locked in; clients that come before wait in its sockets. */
int gate_await(Run *run, Fault *fault) MUST_USE;
