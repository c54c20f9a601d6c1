/* The mark that a revocation leaves where a token was, so that agents, which only read, hear of it: it is
 * told apart from a token that was never set, and one that is put back (by a release, by a backup) is not
 * given out again, while any other that is set is. Text: TIME, a salt, and a salted hash of the token, of
 * which whoever can read it could read the token itself:
 *
 *   2026-01-02T03:04:05Z 5b1f...16 hex... 9c2e...32 hex...
 *
 * In Vault and Kubernetes beside the key, as KEY.purser-revoked; in the keyring as the entry NAME~revoked; a
 * token's file holds MARK_FILE and it, in the token's place. Pure.
 */
#pragma once

#include "base/fault.h"
#include "secret/secret.h"

#define MARK_SUFFIX ".purser-revoked"
#define MARK_FILE   "purser-revoked "
#define MARK_TEXT   112 /* room, with its NUL */

typedef struct Mark {
    int64_t time; /* wall us */
    unsigned char salt[16], hash[16];
} Mark;

/* -ENOMEM: no locked memory is left. */
int mark_make(const Sealed *token, int64_t now, char out[static MARK_TEXT]) MUST_USE;
int mark_parse(Slice text, Mark *ret_mark) MUST_USE; /* -EBADMSG: it is none */
bool mark_means(const Mark *mark, const Sealed *token);
/* STORE_E_REVOKED with its sentence. `mark` NULL: when is not known. */
int mark_refuse(const Mark *mark, const char *name, Fault *fault);
