/* A script's side of its run's socket: finding its lease, and asking about it. Runs in the script's own
 * process tree, with the script's rights; a lease is never on a command line.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "lease/lease.h"

/* Where the lease comes from: `env` names the variable, `from_stdin` reads standard input, `source` names the
 * source; all left out: the one source that this run has. -errno with a sentence. */
typedef struct LeaseFrom {
    const char *source, *env; /* or NULL */
    bool from_stdin;
} LeaseFrom;

int lease_find(const LeaseFrom *from, char ret_text[LEASE_MAX_TEXT], Fault *fault) MUST_USE;

/* Asks over $PURSER_SOCKET: "GET", "/purser/v1/lease". The answer's status and its body (JSON). -errno with a
 * sentence. */
int lease_call(const char *method, const char *path, const char *lease, int *ret_status, Buf *ret_body,
               Fault *fault) MUST_USE;

/* In this process's environment, the narrowed lease in the place of every lease of the same source, wherever
 * it stands in a value. Returns how many variables were changed. */
size_t lease_replace_everywhere(const char *narrowed);
