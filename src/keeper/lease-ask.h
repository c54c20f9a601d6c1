/* What a script asks about its lease, over the run's socket: what is left of it, and its end. Answered by the
 * keeper alone, as JSON (docs/leases.md), to whoever presents the lease, and about that lease only.
 */
#pragma once

#include "keeper/stream.h"

void lease_asked(Stream *stream, Slice payload);
