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
 *
 * Where a store is shared, the same lines lie there too, beside the lock, so that any machine knows the whole
 * of it. They are chained in the same way, but no machine's key can bind them: it would be unknown to the
 * others, and a key beside them binds nothing. So that chain (JOURNAL_SHARED_KEY) shows what was lost, cut or
 * mixed up, and not what somebody has written who may write there, and so has the tokens; what a machine has
 * done is bound by its own file.
 */
#pragma once

#include "audit/chain.h"
#include "base/buf.h"

#define JOURNAL_MAX (1u << 20) /* bytes of a file; from half of it on a new one is begun, as beneath */
#define JOURNAL_MAX_SHARED                                                                                   \
    (16u << 10) /* bytes in a store: a longer one is begun anew, with what still matters */
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
    size_t whole;    /* bytes in whole lines */
    bool open;       /* a rotation was begun and has not ended */
    bool given;      /* ... and a switch was begun in it */
    bool forward;    /* ... and it was last on its way to the new token */
    bool asked;      /* ... and the provider was asked for a new token, not switched to yet */
    bool told[2];    /* ... and the provider was told to retire the old one, the new one */
    bool revoking;   /* ... or it is a revocation */
    int64_t begun;   /* ... wall us */
    int64_t revoked; /* wall us: the last thing that was begun is a revocation, since then; 0: it is not */
    char step[JOURNAL_STEP]; /* the last line's */
    int64_t time;            /* the last line's */
} JournalEnd;

/* Called for each line in order; the line is borrowed. */
typedef void JournalEach(void *context, const JournalLine *line);

/* Checks the whole of it. Pure; each may be NULL. -EBADMSG with a sentence: it was altered. */
int journal_read(const char *source, Slice text, const unsigned char key[AUDIT_KEY], JournalEach *each,
                 void *context, JournalEnd *ret_end, Fault *fault) MUST_USE;

extern const unsigned char JOURNAL_SHARED_KEY[AUDIT_KEY];

/* What is still true of a story, in its first lines: in place of all of them. -ENOBUFS. Pure. */
int journal_shorten(const char *source, const unsigned char key[AUDIT_KEY], const JournalEnd *end, Buf *out,
                    JournalEnd *ret_end) MUST_USE;

typedef struct Journal Journal;

/* Makes the folder and the file when they are missing, reads what is there. -EBADMSG, -errno with a sentence.
 */
int journal_open(const char *folder, const char *source, const unsigned char key[AUDIT_KEY],
                 Journal **ret_journal, Fault *fault) MUST_USE;
/* From here on each line also goes into the store: share() is called with the whole text, and what it returns
 * is passed on, before the step is taken. `text`: what is there; `who` did the steps that begin something.
 * Both are copied. -EBADMSG with a sentence: it does not hang together. */
typedef int JournalShare(void *context, Slice text, Fault *fault);
int journal_share(Journal *journal, Slice text, const char *who, JournalShare *share, void *context,
                  Fault *fault) MUST_USE;

/* Of the store's where it has one, else of this machine's. */
const JournalEnd *journal_end(const Journal *journal);
Slice journal_text(const Journal *journal); /* this machine's, as it was opened */

/* On the disk when it returns 0. -errno with a sentence; -ESTALE: another process has written since it was
 * opened, so what this one knows is not true any more. */
int journal_add(Journal *journal, const char *step, Fault *fault, const char *fmt, ...) MUST_USE FORMAT(4, 5);

Journal *journal_free(Journal *journal); /* takes NULL, returns NULL */
