/* The supervisor's commands, one table of them. */
#pragma once

#include "clerk/sink.h"
#include "ipc/channel.h"

typedef struct Commands {
    const IpcPeer *supervisor;
    const ClerkSetup *setup;
    RowSink *sink;
} Commands;

/* Does what the record asks for and answers, DONE last. -EPROTO: no such command, or one that cannot be read;
 * -errno of the channel. What the database says is an answer, not a failure. Takes the record's descriptors.
 */
int command_run(const Commands *commands, IpcRecord *record) MUST_USE;
