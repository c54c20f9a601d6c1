/* The sink, for a command that is no run: a clerk, and beside it a keeper when the database wants a
 * credential. */
#pragma once

#include "supervisor/clerk-link.h"
#include "supervisor/session.h"

typedef struct SinkLink {
    KeeperLink keeper;
    Role clerk;
} SinkLink;

#define SINK_NONE ((SinkLink){KEEPER_NONE, ROLE_NONE})

/* Locks the state when a keeper is needed (it writes the audit): -EBUSY while another purser works with it.
 * -errno with a sentence; sink_close() is right in any case. */
int sink_open(Session *session, SinkLink *sink, Fault *fault) MUST_USE;
void sink_close(SinkLink *sink);
