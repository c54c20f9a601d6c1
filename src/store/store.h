/* A store of long-lived tokens, behind one small interface. Runs in the keeper (and keyring.h also in the
 * process of `purser token`). Nothing here blocks: drivers that need the network answer through the callback
 * later. docs/stores.md says how to add one.
 *
 * A token comes with the hosts that it may go to: whoever edits `apiUrl` gains nothing.
 */
#pragma once

#include "base/fault.h"
#include "config/config.h"
#include "secret/secret.h"

typedef struct StoredToken {
    Sealed *token; /* owned by the receiver */
    char **host;   /* hosts it may be sent to; n_host 0: not restricted */
    size_t n_host;
    int64_t fetched; /* wall, us */
    int64_t set;     /* wall, us, when the store knows it; else 0 */
    char *version;   /* as the store counts; NULL: it does not */
    uint64_t life;   /* us from now until it dies by itself; 0: it does not */
    bool leased;     /* given to us alone: to be given back when no run uses it */
    bool renewable;
    char *lease; /* the driver's own name for it, NULL when it needs none */
} StoredToken;

enum {
    STORE_E_ABSENT = 1, /* the store works, the token is not in it */
    STORE_E_BAD_TOKEN,  /* empty, too long, with a newline or NUL */
    STORE_E_DENIED,     /* wrong passphrase or key, permissions */
    STORE_E_DAMAGED,    /* cut off, altered, unknown version; an answer that is none */
    STORE_E_OUTAGE,     /* cannot be reached now, or does not work: worth trying again */
    STORE_E_REVOKED,    /* `purser revoke` has left its mark there (mark.h) */
    STORE_E_UNTRUSTED,  /* its certificate is another's: an outage, but that soon is not worth waiting for */
};

static inline bool store_is_away(int result)
{
    return result == STORE_E_OUTAGE || result == STORE_E_UNTRUSTED;
}

/* How a fetch, or a renewal, went. */
typedef struct StoreResult {
    int result;           /* 0, a STORE_E_ or a negative errno, with a sentence in fault */
    StoredToken token;    /* on 0; the receiver takes out what it keeps. Of a renewal: life alone */
    unsigned calls;       /* to the store, login included */
    uint32_t retry_after; /* seconds that the store asks for; 0: it says nothing */
    Fault fault;
} StoreResult;

/* Called exactly once, maybe before the call that asked returns; never once the store was freed. */
typedef void StoreDone(void *context, StoreResult *result);

typedef void StoreChanged(void *context);

typedef struct Store Store;
typedef struct StoreDriver {
    const char *name; /* "keyring": as in purser.yaml */
    void (*fetch)(Store *store, const TokenRef *ref, StoreDone *done, void *context);
    /* The last two: NULL where nothing is leased. `token` is what fetch gave, and stays until done(). */
    void (*renew)(Store *store, const TokenRef *ref, const StoredToken *token, StoreDone *done,
                  void *context);
    void (*give_back)(Store *store, const TokenRef *ref, const StoredToken *token, StoreDone *done,
                      void *context);
    /* Says when a token may be another one than `version` (NULL: it is not known), any number of times until
     * done(): 0, it ended as such do, or STORE_E_OUTAGE: begin another; else it is not to be had. NULL: it is
     * read every `refresh`. */
    void (*watch)(Store *store, const TokenRef *ref, const char *version, StoreChanged *changed,
                  StoreDone *done, void *context);
    void (*close)(Store *store, StoreDone *done, void *context); /* ends its login; NULL: there is none */
    void (*forget)(Store *store); /* what was read before now answers no fetch any more; NULL: nothing does */
    Store *(*free)(Store *store);
} StoreDriver;

/* A driver's own state begins with this. */
struct Store {
    const StoreDriver *driver;
    StoreLife life; /* refresh 0: what it says never changes */
};

/* The stores of one process, by StoreKind, and why one is not there. */
typedef struct Stores {
    Store *store[STORE_KINDS];
    char *shut[STORE_KINDS]; /* a sentence; NULL: nothing configured it */
} Stores;

void stores_fetch(const Stores *stores, const TokenRef *ref, StoreDone *done, void *context);
void stores_free(Stores *stores);

/* A result without a token: fills it in and calls done(). */
void store_fail(StoreDone *done, void *context, int result, unsigned calls, const Fault *fault);

void stored_token_done(StoredToken *token);

/* Tokens of any length from 1 to SECRET_MAX_TOKEN bytes, without NUL, CR, LF or other control characters; one
 * trailing newline (LF or CR LF) is taken off (*ret_len). STORE_E_BAD_TOKEN with a sentence that names
 * `name`. */
int store_check_token(const char *name, Slice token, size_t *ret_len, Fault *fault) MUST_USE;
/* Whether a token that goes to an API is long enough to be searched for in its answers (SECRET_MIN_TOKEN):
 * STORE_E_BAD_TOKEN with a sentence if not. */
int store_check_searchable(const char *name, size_t len, Fault *fault) MUST_USE;
/* Checks and seals. A private key, in PEM, has line ends: `lines` lets them pass. */
int store_seal(const char *name, Slice token, bool lines, Sealed **ret_token, Fault *fault) MUST_USE;
/* Of what a person gives: a private key in PEM has lines, nothing else may. */
static inline bool store_has_lines(Slice token)
{
    return slice_starts(token, "-----BEGIN ");
}
