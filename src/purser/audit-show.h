/* purser audit show: the audit's records for people, or, as JSON, for programs. */
#pragma once

#include "supervisor/audit-files.h"

typedef struct AuditShow {
    const char *run, *retriever, *source; /* NULL: all */
    int64_t since;                        /* wall us; 0: from the beginning */
    bool refused;                         /* only what was refused, or failed */
    bool all;                             /* also the ends of answers, and requests that were only begun */
    bool json;                            /* the records as they stand */
    bool terminal;                        /* short times, under a line for each day */
    /* set by audit_show_file() */
    char day[11];
    int retriever_width;
    bool failed; /* standard output takes no more */
} AuditShow;

/* "2h", "3d", a day, or a time with its zone; -EINVAL. */
int audit_show_since(const char *text, int64_t *ret_since) MUST_USE;

/* Prints the records of a file that are asked for. */
int audit_show_file(AuditShow *show, int fd) MUST_USE;
