/* Starting purser-exec for a run: as the retriever's user, in the run's network namespace and mounts of its
 * own (sandbox/mount-ns.h), with the folders it works in. */
#pragma once

#include "supervisor/run.h"

/* Prepares the environment (run->environment); as the retriever's other user, on the machine's own network.
 */
int runner_prepare(Run *run, pid_t *ret_pid, Fault *fault) MUST_USE;
/* Starts the script (or only the collecting). */
int runner_start(Run *run, pid_t *ret_pid, Fault *fault) MUST_USE;
