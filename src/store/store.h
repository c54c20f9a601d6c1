/* A store of long-lived tokens, behind one small interface. Runs in the keeper (and keyring.h also in the
 * process of `purser token`). A fetch never blocks: drivers that need the network answer through the callback
 * later.
 *
 * A token comes with the hosts that it may go to: whoever edits `apiUrl` gains nothing.
 */
#pragma once

#include "base/fault.h"
#include "config/config.h"
#include "secret/secret.h"

typedef struct StoredToken {
    Sealed *token; /* owned by the receiver */
    char **host;   /* hosts it may be sent to; n_host 0: not restricted (the file store) */
    size_t n_host;
    int64_t fetched; /* wall, us */
    int64_t set;     /* wall, us, when the store knows it; else 0 */
} StoredToken;

enum {
    STORE_E_ABSENT = 1, /* the store works, the token is not in it */
    STORE_E_BAD_TOKEN,  /* empty, too long, with a newline or NUL */
    STORE_E_DENIED,     /* wrong passphrase or key, permissions */
    STORE_E_DAMAGED,    /* cut off, altered, unknown version */
    STORE_E_OUTAGE,     /* cannot be reached now */
};

/* result: 0, a STORE_E_ or a negative errno, with a sentence in fault. token is valid on 0 and is taken over.
 */
typedef void StoreDone(void *context, int result, StoredToken *token, const Fault *fault);

typedef struct Store Store;
typedef struct StoreDriver {
    StoreKind kind;
    const char *name; /* "keyring": as in purser.yaml */
    void (*fetch)(Store *store, const TokenRef *ref, StoreDone *done, void *context);
    Store *(*free)(Store *store);
} StoreDriver;

/* A driver's own state begins with this. */
struct Store {
    const StoreDriver *driver;
};

void stored_token_done(StoredToken *token);

/* Tokens of any length from 1 to SECRET_MAX_TOKEN bytes, without NUL, CR, LF or other control characters; one
 * trailing newline (LF or CR LF) is taken off (*ret_len). STORE_E_BAD_TOKEN with a sentence that names
 * `name`. */
int store_check_token(const char *name, Slice token, size_t *ret_len, Fault *fault) MUST_USE;

/* The drivers of this issue. The keeper is handed descriptors; it opens nothing.
 * keyring: the sealed file and its key, opened already (see keyring.h).
 * file: a descriptor per TokenRef name, added before the sandbox closes. */
Store *store_file_new(void);
int store_file_add(Store *store, const char *name, int fd) MUST_USE; /* the descriptor is taken over */
