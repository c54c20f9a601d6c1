/* Verifying: all files of an audit, the oldest first, with the installation's key, and against the heads that
 * the sink has. Every line that was changed, put in, taken out or moved is found, and said with its file and
 * number; only lines behind the last head that the sink has can be cut off unseen.
 */
#pragma once

#include "audit/audit.h"

typedef enum AuditFindingKind {
    AUDIT_NOTE,    /* worth knowing, and nothing that purser would not do itself */
    AUDIT_PROBLEM, /* somebody else's work, or damage */
} AuditFindingKind;

typedef struct AuditFinding {
    AuditFindingKind kind;
    const char *file; /* "": the audit as a whole */
    uint64_t line;    /* 0: the file as a whole */
    const char *sentence;
} AuditFinding;

typedef void AuditSay(void *context, const AuditFinding *finding);

typedef struct AuditVerify AuditVerify;

typedef struct AuditVerifySpec {
    const unsigned char *key; /* outlives this */
    uint64_t retain;          /* us that files are kept (0: for ever): whether older ones may be missing */
    bool part;                /* only some files are asked about: what came before them is not */
    AuditSay *say;
    void *context;
} AuditVerifySpec;

AuditVerify *audit_verify_new(const AuditVerifySpec *spec);

/* A head that the sink has; all of them before the first file. `run` is copied. */
void audit_verify_expect(AuditVerify *verify, const AuditSeal *seal, const char *run);

/* The next file; `name` is for findings, and outlives this. -errno: it cannot be read. */
int audit_verify_file(AuditVerify *verify, int fd, const char *name) MUST_USE;

typedef struct AuditVerified {
    uint64_t records;
    unsigned files, problems, notes;
    uint64_t first, last;        /* numbers of the records that are there; 0: none */
    unsigned seals, seals_known; /* runs' seals; those that the sink has too */
} AuditVerified;

/* What only shows at the end. */
AuditVerified audit_verify_end(AuditVerify *verify);
AuditVerify *audit_verify_free(AuditVerify *verify);
