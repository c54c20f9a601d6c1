/* What purser tells purser-rotate, on a descriptor that it inherits: all that it may know of the
 * configuration. One blob; nothing secret. */
#pragma once

#include "ipc/keeper.h"

#define ROTATE_FD         3 /* that descriptor, read to its end */
#define ROTATE_RESULT_FD  4 /* "WORD SENTENCE\n" at the end, for who started several */
#define ROTATE_MAX_BLOB   (128u << 10)
#define ROTATE_MAX_SOURCE (60u << 10)

typedef enum RotateAct {
    ROTATE_START,
    ROTATE_RESUME,
    ROTATE_ABORT,
    ROTATE_STATUS,
    ROTATE_DRY_RUN,
    ROTATE_REVOKE,
    ROTATE_ACTS,
} RotateAct;

typedef struct RotateSetup {
    RotateAct act;
    bool json, from_stdin, allow_wider, allow_other;
    bool from_provider, accept_loss; /* the provider makes the new token; both may be lost then */
    uint64_t life;                   /* us: of such a token */
    bool goes_on;                    /* with one that was left half way, instead of refusing to begin */
    bool sandbox_optional;
    bool unattended; /* nobody is there who could be asked */
    bool tells;      /* the result goes to ROTATE_RESULT_FD too */
    char **argv;     /* prints the new token; n_argv 0: none does */
    size_t n_argv;
    char *state;     /* the state folder */
    char *audit_key; /* the installation's; "": STATE/audit.key */
    char *provider;  /* for sentences; "" */
    char *probe;     /* where there is no rotation.account */
    Rotation rotation;
    char *keyring, *key_file;
    bool passphrase;
    char *roots; /* PEM of the public roots */
    char *proxy;
    char **no_proxy;
    size_t n_no_proxy;
    uint64_t interval;   /* us: agents have read the store again after it */
    uint64_t revealed;   /* us: the longest run that is given the token itself; 0: none is */
    bool shared;         /* agents elsewhere read the store too: nothing here tells what they have read */
    bool wait_said;      /* interval is what --wait says: nothing shortens it */
    uint64_t older_than; /* us: a younger token stays; 0: any is replaced */
    char *vault_token;   /* a file: with it the secret may be written; "" */
    bool vault_auth;     /* instead: it logs in as vault's login says, a role of its own */
    VaultConfig vault;   /* where the token is in Vault, or Vault's login is what is rotated */
    bool database;       /* ... or the sink's credential, which Vault's database engine makes */
    bool approle;        /* the token is the secret id with which purser logs in to Vault */
    KubernetesConfig kubernetes; /* where the token is in a Secret: whom to ask, and this person's login */
    KeeperSource source;         /* its token is what is rotated, also where that mints: */
    bool app;                    /* it is a GitHub App's private key, and */
    TokenRef minted;             /* this is the token that is minted with it */
} RotateSetup;

void rotate_setup_put(const RotateSetup *setup, WireWriter *wire);
int rotate_setup_get(WireReader *wire, RotateSetup *ret_setup) MUST_USE;
void rotate_setup_done(RotateSetup *setup);
