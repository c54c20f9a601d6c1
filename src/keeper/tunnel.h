/* Egress: a host that a run's retriever names is dialled here, and its socket handed to the gate untouched.
 * Only public addresses, always; through the site's proxy where there is one. */
#pragma once

#include "ipc/gate.h"
#include "keeper/run.h"

#define TUNNEL_MAX 64 /* being dialled at a time, of one run */

/* The answer follows at the end of a turn, once it is on record. */
void tunnel_wanted(Run *run, const TunnelRecord *wanted);
void tunnel_release(Tunnel *tunnel);
void tunnel_free_all(Run *run);
