/* What a script left in $OUTPUTDIR, as open descriptors of plain files. The script has ended, but what it
 * left may be anything: links, fifos, devices, files that grow without end. Nothing is followed and nothing
 * is waited for.
 */
#pragma once

#include "ipc/run.h"
#include "runner/output.h"

#define COLLECT_MAX_DEPTH   8
#define COLLECT_MAX_REFUSED 100   /* sentences; the rest is counted in a last one */
#define COLLECT_MAX_ENTRIES 20000 /* names of one folder; what is beyond is refused together */

/* Sends OUTPUT for each plain file of the script's own, sorted by name within its folder, and OUTPUT_REFUSED
 * for all else; says the latter in the sink too. -errno when the gate is gone. */
int collect_send(const IpcPeer *gate, int output_fd, const RunLimits *limits, OutputSink *sink,
                 uint32_t *ret_outputs) MUST_USE;
