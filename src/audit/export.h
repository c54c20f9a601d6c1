/* The lines of many pods out of a log's export, in any order and among other lines: each pod's chain is put
 * together again and verified as a file is (verify.h), and against the heads that the sink has of it. What
 * stands before a record on its line (a pod's name, a time) is passed over.
 */
#pragma once

#include "audit/verify.h"

typedef struct AuditExport AuditExport;

#define AUDIT_EXPORT_BYTES (1ull << 30) /* of records; more must be verified in parts */

typedef struct AuditExportSpec {
    const unsigned char *key; /* the installation's; outlives this */
    int64_t since, until; /* wall us: only pods' runs that ended in between can be missing; 0: the first and
                             the last record's time */
    AuditSay *say;
    void *context;
} AuditExportSpec;

AuditExport *audit_export_new(const AuditExportSpec *spec);

/* A head that the sink has: `chain` is the pod's, `run` whose end it is. Copied. */
void audit_export_expect(AuditExport *lines, const char *chain, const AuditSeal *seal, const char *run);

/* Takes the lines of a file that need not be one on a disk. -errno; -EFBIG. */
int audit_export_read(AuditExport *lines, int fd) MUST_USE;

typedef struct AuditExported {
    AuditVerified all; /* of all pods together; `first` and `last` are 0 */
    unsigned pods;     /* chains */
    unsigned missing;  /* runs of which no line is there */
    uint64_t others;   /* lines that are none of the audit's */
    uint64_t twice;    /* records that came again */
} AuditExported;

int audit_export_end(AuditExport *lines, AuditExported *ret_exported) MUST_USE;
AuditExport *audit_export_free(AuditExport *lines);
