/* Reading a record's fields back: for `purser audit show`, and for what verifying wants to know of one. A
 * record is one flat JSON object; its texts stay as they are written, escapes and all, and point into the
 * line. Strict: anything else than what this version or a later one writes is -EBADMSG. Allocates nothing.
 */
#pragma once

#include "base/slice.h"

typedef struct AuditLine {
    uint64_t n, status, sent, received, count, of;
    Slice time, event, run, retriever, source, method, host, path, operation, rule, decision, code, message;
    Slice ms; /* digits as they stand */
    bool whole;
    /* of "audit.begin" */
    Slice installation, before, before_time, prev, pod;
    Slice chain; /* of every record of a pod's */
} AuditLine;

/* What the record does not have is 0, false, "". Keys that are not known are passed over. */
int audit_line_parse(Slice line, AuditLine *ret_line) MUST_USE;

/* One line, without its newline. False: no more. */
typedef bool AuditEachLine(void *context, Slice line);

/* Every whole line of a file, from its beginning; one that is longer than any record comes in pieces. `rest`:
 * what is behind the last newline, if there is something; NULL: nobody wants to know. A purser that is at
 * work may be writing just then: what is not whole is given a moment. -errno. */
int audit_lines_each(int fd, AuditEachLine *each, AuditEachLine *rest, void *context) MUST_USE;

/* A text for people: \" and \\ are one character again, everything that could do something to a terminal
 * stays, or becomes, an escape. Always terminates; cut to size. */
const char *audit_line_text(Slice text, char *out, size_t size);
