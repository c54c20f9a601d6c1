/* A run's results, as the gate passes them on: OUTPUT and OUTPUT_REFUSED records, then RUN_END; loads each as
 * it comes. Everything on this channel is a stranger's.
 */
#pragma once

#include "clerk/load.h"
#include "ipc/channel.h"

#define COLLECT_PATIENCE_MS 600000 /* without any record */

/* Loads until RUN_END, moves stream_state if it may, and says in *ret_totals what was done, also on failure.
 */
int collect_run(RowSink *sink, const ClerkLoad *load, const IpcPeer *gate, LoadTotals *ret_totals,
                Fault *fault) MUST_USE;
