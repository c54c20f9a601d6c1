/* The filters of system calls, as raw BPF (no library). Both need no_new_privs; -EOPNOTSUPP on a machine
 * whose call numbers they do not know. */
#pragma once

#include "base/result.h"

/* The script's: a refusal list, since a script is any program. What a collector of metrics never needs and an
 * attacker would like is refused with an errno; the ways around Landlock's TCP limit (fast open, MPTCP, raw
 * and other sockets, io_uring) are among them. */
int filter_enter(void) MUST_USE;

/* The runner's own, once the script is started: a list of the few calls that it still needs. Any other ends
 * it: it starts nothing more, makes no socket, opens nothing but to read. */
int filter_enter_runner(void) MUST_USE;
