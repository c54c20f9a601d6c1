/* What purser tells purser-rotate, on a descriptor that it inherits: all that it may know of the
 * configuration. One blob; nothing secret. */
#pragma once

#include "ipc/keeper.h"

#define ROTATE_FD         3 /* that descriptor, read to its end */
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
    char *command;  /* prints the new token; "": none */
    char *state;    /* the state folder */
    char *provider; /* for sentences; "" */
    char *probe;    /* where there is no rotation.account */
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
    char *vault_token;   /* a file: with it the secret may be written; "" where the token is not in Vault */
    VaultConfig vault;   /* then */
    KubernetesConfig kubernetes; /* where the token is in a Secret: whom to ask, and this person's login */
    KeeperSource source;
} RotateSetup;

void rotate_setup_put(const RotateSetup *setup, WireWriter *wire);
int rotate_setup_get(WireReader *wire, RotateSetup *ret_setup) MUST_USE;
void rotate_setup_done(RotateSetup *setup);
