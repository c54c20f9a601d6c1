/* The one kind of database that an executable of the clerk is linked for: purser-clerk (database-sqlite.c)
 * has no way to a network in it, purser-clerk-pg (database-postgres.c) none to an SQLite file.
 */
#pragma once

#include "clerk/sink.h"
#include "sandbox/sandbox.h"

extern const uint8_t database_kind; /* SinkKind; a set-up of the other one is refused */

RowSink *database_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata);

/* Enters the sandbox with what this database needs added to `spec`; as sandbox_enter(). */
int database_enter(const ClerkSetup *setup, SandboxSpec *spec, Fault *fault) MUST_USE;
