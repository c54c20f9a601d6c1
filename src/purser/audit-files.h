/* The audit's files: STATE/audit/audit.ndjson, which the keeper writes, and those before it,
 * audit-TIME.ndjson. A file is put aside when its first record is old, so that `retain: {audit: ...}` can
 * remove whole files and never cut a chain. */
#pragma once

#include "purser/session.h"

/* The current file, for the keeper: read, append. Puts the one before aside first when it is older than 30
 * days, or than a quarter of `retain` when that is shorter. -errno with a sentence. */
int audit_files_open(const State *state, uint64_t retain, int *ret_fd, Fault *fault) MUST_USE;

/* Removes files put aside whose last record is older than `retain` (0: none); the number of them, also on a
 * dry run. */
unsigned audit_files_prune(const State *state, uint64_t retain, bool dry);

/* Calls for each file's path, the oldest first. */
void audit_files_each(const State *state, void (*each)(const char *path, void *context), void *context);
