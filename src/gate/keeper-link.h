/* The gate's control channel to the keeper: streams, tunnels, leases, and what the gate refused by itself. */
#pragma once

#include "gate/gate.h"

void keeper_link_open(Gate *gate);

/* A new stream; the gate's end, non-blocking, or -EAGAIN (the keeper does not keep up) and others. */
int keeper_link_stream(Gate *gate, int *ret_fd) MUST_USE;
int keeper_link_tunnel(Gate *gate, const TunnelRecord *tunnel) MUST_USE;
int keeper_link_leases(Gate *gate) MUST_USE;

/* Waits a moment for a keeper that does not keep up; then the record is lost, and the script was slowed down.
 */
void keeper_link_refused(Gate *gate, const RunRefusal *refusal);
