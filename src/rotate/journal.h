/* A source's rotation journal, STATE/rotate/SOURCE.journal: a line a step, on the disk before the step is
 * taken.
 *
 *   NUMBER TIME STEP MAC DETAIL
 *   3 2026-01-02T03:04:05Z switch 5b1f...64 hex... the new one becomes current
 *
 * MAC is chained and keyed as the audit's (audit/chain.h), begun with the source's name: a line that was
 * altered, taken out or put in, or another source's, does not fit. What a crash left of a last line is cut
 * off. It tells the story, and whether a switch was ever begun; everything else is asked of store and
 * provider. Never a token, nor a hash of one. Runs in purser-rotate.
 */
#pragma once

#include "audit/chain.h"
#include "base/buf.h"

#define JOURNAL_MAX      (1u << 20) /* bytes of a file; from half of it on a new one is begun */
#define JOURNAL_MAX_LINE 1024
#define JOURNAL_STEP     16 /* room for a step's name, with its NUL */

typedef struct JournalLine {
    uint64_t number;
    int64_t time;
    char step[JOURNAL_STEP];
    AuditMac mac;
    Slice detail; /* printable; borrowed */
} JournalLine;

/* One line without its newline. Pure. -EBADMSG: it is none. */
int journal_parse(Slice line, JournalLine *ret_line) MUST_USE;

/* What a journal says. */
typedef struct JournalEnd {
    uint64_t number; /* of the last line; 0: there is none */
    AuditMac last;
    size_t whole;            /* bytes in whole lines */
    bool open;               /* a rotation was begun and has not ended */
    bool given;              /* ... and a switch was begun in it */
    bool forward;            /* ... and it was last on its way to the new token */
    bool asked;              /* ... and the provider was asked for a new token, not switched to yet */
    bool revoking;           /* ... or it is a revocation */
    int64_t begun;           /* ... wall us */
    char step[JOURNAL_STEP]; /* the last line's */
    int64_t time;            /* the last line's */
} JournalEnd;

/* Called for each line in order; the line is borrowed. */
typedef void JournalEach(void *context, const JournalLine *line);

/* Checks the whole of it. Pure; each may be NULL. -EBADMSG with a sentence: it was altered. */
int journal_read(const char *source, Slice text, const unsigned char key[AUDIT_KEY], JournalEach *each,
                 void *context, JournalEnd *ret_end, Fault *fault) MUST_USE;

typedef struct Journal Journal;

/* Makes the folder and the file when they are missing, reads what is there. -EBADMSG, -errno with a sentence.
 */
int journal_open(const char *folder, const char *source, const unsigned char key[AUDIT_KEY],
                 Journal **ret_journal, Fault *fault) MUST_USE;
const JournalEnd *journal_end(const Journal *journal);
Slice journal_text(const Journal *journal); /* as it was opened */

/* On the disk when it returns 0. -errno with a sentence. */
int journal_add(Journal *journal, const char *step, Fault *fault, const char *fmt, ...) MUST_USE FORMAT(4, 5);

Journal *journal_free(Journal *journal); /* takes NULL, returns NULL */
