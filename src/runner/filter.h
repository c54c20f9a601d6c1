/* The script's system call filter, as raw BPF (no library): a refusal list, since a script is any program.
 * What a collector of metrics never needs and an attacker would like is refused with an errno; the ways
 * around Landlock's TCP limit (fast open, MPTCP, raw and other sockets, io_uring) are among them.
 */
#pragma once

#include "base/result.h"

int filter_enter(
    void) MUST_USE; /* needs no_new_privs; -EOPNOTSUPP on a machine whose call numbers it does not know */
