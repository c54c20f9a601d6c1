/* All processes that descend from this one. The runner is their subreaper, so that whoever loses its parent,
 * by setsid and two forks or otherwise, becomes the runner's own child and is found again.
 */
#pragma once

#include "base/result.h"

#include <stdbool.h>
#include <sys/types.h>

int tree_adopt(void) MUST_USE; /* become the subreaper; before anything is started */

/* Sends a signal to every descendant that is there now; returns how many. */
size_t tree_signal(int signal_number);

/* Kills until none is left, and reaps. *ret_status is the wait status of `main_pid` when it was reaped here.
 * `own_uid`: no other process that matters has this user id. */
void tree_end(pid_t main_pid, bool own_uid, bool *ret_main_reaped, int *ret_status);

/* Threads that processes of this user have, which RLIMIT_NPROC counts. */
size_t tree_threads_of_user(void);
