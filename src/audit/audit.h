/* The audit: what was decided, one JSON object a line, each carrying the hash of the line before it.
 *
 *   {"n":17,"time":"...","event":"refused","run":"...","source":"...", ... ,"prev":"<64 hex>"}
 *
 * prev is the BLAKE2b-256 of the whole previous line without its newline; the first line of a file has 64
 * zeros.
 *
 * The keeper is the only writer: an append-only descriptor that it was handed. Events are collected in a turn
 * of its loop and written once, by audit_flush(), before the answers of that turn go out. No secret, no query
 * string's values.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#define AUDIT_MAX_RECORD (16u << 10) /* bytes of a line without its newline */

typedef struct Audit Audit;

typedef struct AuditEvent {
    const char *event; /* "run.open", "run.close", "lease.issue", "request", "refused", "token.fetch", ... */
    const char *run;   /* NULL: left out; the same for all below */
    const char *retriever;
    const char *source;
    const char *method;
    Slice target;          /* path only */
    const char *operation; /* of a GraphQL request: type, name, root fields; no arguments, no variables */
    const char *host;
    int status;       /* 0: left out */
    const char *code; /* refusal code */
    const char *sentence;
    uint64_t count; /* 0: left out */
} AuditEvent;

/* Continues the chain of the file at `fd` (O_RDWR|O_APPEND; its last line is read); fd is taken over, and
 * closed also on failure. What a crash left of a last line stays, as a line that is no record; the next is
 * bound to it. */
int audit_open(int fd, Audit **ret_audit, Fault *fault) MUST_USE;
/* Never fails: an event for which there is no room (4 MiB wait, because nothing can be written) is counted,
 * and the count becomes a record, "audit.lost", as soon as there is. */
void audit_add(Audit *audit, const AuditEvent *event);
/* Writes what was collected, in one write. -errno when it could not be: the caller refuses what needs a
 * record. */
int audit_flush(Audit *audit) MUST_USE;
Audit *audit_free(Audit *audit);

/* Reads a whole file: 0 and the number of records, or -EBADMSG and the line where the chain breaks. A line
 * that is no record but that the next is bound to (see audit_open) is reported when the whole rest was found
 * sound. What the last line says, and whether whole lines are missing behind it, the file alone cannot tell.
 */
int audit_verify(int fd, uint64_t *ret_records, Fault *fault) MUST_USE;
