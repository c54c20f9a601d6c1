/* The audit's files: STATE/audit/audit.ndjson, which the keeper writes, and those before it,
 * audit-TIME.ndjson; STATE/audit.key is what they are bound with. A file is put aside when its first record
 * is old, or when it has grown large, so that `retain: {audit: ...}` can remove whole files and never cut a
 * chain.
 */
#pragma once

#include "audit/chain.h"
#include "supervisor/session.h"

#define AUDIT_FILE_BYTES (256u << 20) /* of a file, before the next begins */

/* What the keeper is handed (audit_open()); each -1 when there is none. */
typedef struct AuditFiles {
    int file; /* append only */
    int key;
    int tail;         /* to be read: the file that the chain ends in */
    char before[256]; /* its name, when that is another one than `file` */
} AuditFiles;

#define AUDIT_FILES_NONE ((AuditFiles){.file = -1, .key = -1, .tail = -1})

/* Makes the key at first use. Puts the current file aside first when it is older than 30 days, or than a
 * quarter of `retain` when that is shorter. -errno with a sentence. */
int audit_files_open(const State *state, uint64_t retain, AuditFiles *ret_files, Fault *fault) MUST_USE;
void audit_files_close(AuditFiles *files);

/* While a keeper is writing: true when it was time to put the file aside; then the file to go on in, and the
 * name of the one before. */
bool audit_files_turn(const State *state, uint64_t retain, AuditFiles *ret_files);

/* What was written is on the disk when this returns. */
int audit_files_sync(const State *state) MUST_USE;

/* Reads the key, for verifying. -ENOENT: there is none yet. */
/* Makes the key where there is none yet. */
int audit_files_make_key(const State *state, Fault *fault) MUST_USE;
int audit_files_key(const State *state, unsigned char ret_key[AUDIT_KEY], Fault *fault) MUST_USE;

/* Removes files put aside whose last record is older than `retain` (0: none); the number of them, also on a
 * dry run. */
unsigned audit_files_prune(const State *state, uint64_t retain, bool dry);

/* The names of all files, the oldest first; freed with mem_free_strings(). */
void audit_files_list(const State *state, char ***ret_name, size_t *ret_n);
