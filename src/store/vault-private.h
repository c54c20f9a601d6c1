/* What the parts of the Vault driver share: vault.c (reads, leases), vault-login.c. Only src/store uses this.
 */
#pragma once

#include "store/answer.h"
#include "store/vault.h"

#include <sys/queue.h>

typedef struct Vault Vault;
typedef struct VaultJob VaultJob;
TAILQ_HEAD(VaultJobs, VaultJob);

typedef void VaultStep(VaultJob *job);

/* One fetch, renewal or giving back. */
struct VaultJob {
    Vault *vault;
    TokenRef ref; /* a copy */
    char *lease;
    VaultStep *step; /* what it does once there is a login */
    bool again;      /* it has had one new login already */
    unsigned calls;
    StoreDone *done;
    void *context;
    TAILQ_ENTRY(VaultJob) link;
};

struct Vault {
    Store store;
    const VaultConfig *config;
    const Stores *stores;
    StoreClient *client;
    StoreServer server;
    char *space; /* "X-Vault-Namespace: ..." or NULL */
    uint64_t seed;
    Sealed *token; /* NULL: not logged in */
    bool own;      /* the login is ours to give back */
    bool renewable;
    uint64_t life;
    unsigned turn;
    bool logging_in;
    unsigned login_calls;
    unsigned failures;  /* of the login, one after the other */
    int64_t not_before; /* mono: until then a login fails with `fault` at once */
    int failed_as;
    Fault fault;
    Sealed *secret; /* of the login that is under way */
    struct event *renewal;
    struct VaultJobs waiting; /* for the login */
};

/* POST, PUT: body. token NULL: none is sent. space NULL: the store's own. */
typedef struct VaultCall {
    const char *method, *path;
    const char *space;
    const Sealed *token, *hidden;
    Buf body;
    uint32_t wrap; /* seconds */
} VaultCall;
void vault_call(Vault *vault, VaultCall *call, StoreAnswered *done, void *context);

/* What an answer that is no 2xx means. */
int vault_refusal(const char *what, const StoreAnswer *answer, Fault *fault);

/* Logs in and wakes who waits; nothing when that is under way. */
void vault_login(Vault *vault);
void vault_forget_login(Vault *vault);
void vault_plan_renewal(Vault *vault);
void vault_login_ended(Vault *vault, int result, const Fault *fault); /* wakes who waits */

/* {"key": "text", ...} with the sealed one opened into it. */
int vault_body(Buf *body, const char *key, const char *value, const char *secret_key,
               const Sealed *secret) MUST_USE;
