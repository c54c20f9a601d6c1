/* The audit: what was decided, one JSON object a line, each bound to the one before it (chain.h).
 *
 *   {"n":17,"time":"...","event":"request","run":"...", ... ,"decision":"allowed","status":200, ...
 * ,"mac":"..."}
 *
 * The keeper is the only writer: an append-only descriptor that it was handed. Events are collected in a turn
 * of its loop and written once, by audit_flush(), before the answers of that turn go out. No secret, no query
 * string's values, no bodies.
 *
 * Files follow each other: the first record of a file (event "audit.begin") names the file before it and the
 * mac of that one's last record, and numbers go on. Where a crash left half a line, the next record
 * ("audit.resume") says so and is bound to it.
 */
#pragma once

#include "audit/chain.h"
#include "base/buf.h"

typedef struct Audit Audit;

typedef enum AuditDecision {
    AUDIT_NO_DECISION, /* left out */
    AUDIT_ALLOWED,
    AUDIT_REFUSED,      /* by purser */
    AUDIT_FAILED,       /* allowed, and then the upstream, or the way to it, failed */
    AUDIT_WOULD_REFUSE, /* let pass by `mode: audit`, though no rule allows it */
} AuditDecision;

typedef struct AuditEvent {
    const char *event; /* "run.open", "lease.issue", "request", "reveal", "mint", "rotate", ... */
    const char *run;   /* NULL: left out; the same for all texts below */
    const char *retriever;
    const char *source;
    const char *method;
    const char *host;
    Slice target;          /* path only; "": left out */
    const char *operation; /* of a GraphQL request: type, name, root fields; no arguments, no variables */
    const char *policy;    /* with `rule`: the line of the rule that decided; 0: left out */
    unsigned rule;
    AuditDecision decision;
    int status;       /* 0: left out */
    const char *code; /* of a refusal */
    const char *sentence;
    uint64_t count;          /* 0: left out */
    uint64_t of;             /* number of the record that this one belongs to; 0: left out */
    bool measured;           /* the four below are meant */
    bool whole;              /* the answer is complete with what was received */
    uint64_t sent, received; /* bytes of the bodies */
    uint64_t us;             /* how long it took; written in ms */
} AuditEvent;

/* Continues the chain. `fd`: write only, append only; taken over, and closed also on failure. `tail_fd`:
 * reads the file that the chain ends in, which is the same file, or, when that is empty, the one before it,
 * named `before`; -1 and "" when there is none yet. Borrowed. `key` outlives the Audit. */
int audit_open(int fd, int tail_fd, const char *before, const unsigned char *key, Audit **ret_audit,
               Fault *fault) MUST_USE;

/* Begins a pod's own chain (chain.h): `key` is the chain's, `installation` what all of them share. */
typedef struct AuditPod {
    const char *installation, *chain, *pod;
} AuditPod;

int audit_open_pod(int fd, const AuditPod *pod, const unsigned char *key, Audit **ret_audit,
                   Fault *fault) MUST_USE;

/* Goes on in another file (write only, append only, empty; taken over), once all that waits is in this one.
 */
void audit_turn(Audit *audit, int fd, const char *before);

/* The record's number; 0 when there was no room for it (4 MiB wait, because nothing can be written): then it
 * is counted, and the count becomes a record, "audit.lost", as soon as there is. */
uint64_t audit_add(Audit *audit, const AuditEvent *event);

/* Writes what was collected, in one write. -errno when it could not be: the caller refuses what needs a
 * record. */
int audit_flush(Audit *audit) MUST_USE;

/* For what must not happen unrecorded (mint, reveal): adds, and writes at once. 0: it is on record. */
int audit_record(Audit *audit, const AuditEvent *event) MUST_USE;

/* A head of the chain: what the sink keeps, so that nothing before it can be cut off unseen. */
typedef struct AuditSeal {
    uint64_t number;
    AuditMac mac;
    int64_t time; /* wall us */
} AuditSeal;

/* Adds the record "seal" of a run, and writes at once. */
int audit_seal(Audit *audit, const char *run, const char *retriever, AuditSeal *ret_seal) MUST_USE;

Audit *audit_free(Audit *audit);
