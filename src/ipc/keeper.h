/* What the supervisor tells the keeper and hears from it. `_put` writes a payload, `_get` reads one
 * (-EBADMSG) into owned memory that `_done` frees. Descriptors travel beside the record, in the order given.
 */
#pragma once

#include "config/config.h"
#include "ipc/channel.h"

#define IPC_MAX_TEXT     1024 /* names, hosts, sentences */
#define IPC_MAX_REFUSALS 64   /* kinds of refusals that a run's report has */
#define IPC_MAX_PORTS    1024 /* different ports of all retrievers' `egress:` together */

/* Descriptors: [0] the audit's file (append only), [1] its key, [2] CA bundle, then, each if its flag is set:
 * the file that the audit's chain ends in (to be read), keyring file, key. */
typedef struct KeeperSetup {
    bool has_audit_tail;
    bool audit_optional; /* `audit: {onFailure: continue}`: requests go on when they cannot be recorded */
    bool has_keyring;
    bool has_key; /* without a key the keyring stays shut; each of its tokens is reported as denied */
    bool key_is_passphrase;
    bool sandbox_optional;
    uint64_t seed;      /* of this machine or pod: when its calls to stores come (store/plan.h) */
    uint64_t patience;  /* us: how long a first fetch is tried again before its runs are told */
    char *audit_before; /* name of the file before this one; "" when this one goes on, or is the first */
    char *audit_chain;  /* of a pod's own, instead of a file that goes on; "" otherwise */
    char *audit_pod;    /* with it: which pod */
    char *keyring_path; /* for sentences */
    char *keyring_key;  /* its key file, which may be replaced; "": a passphrase */
    char *proxy;        /* site: "" or http://host:port */
    char **no_proxy;
    size_t n_no_proxy;
    uint16_t *egress_port; /* of every retriever: the sandbox is closed before the first run says its own */
    size_t n_egress_port;
} KeeperSetup;

void keeper_setup_put(const KeeperSetup *setup, WireWriter *wire);
int keeper_setup_get(WireReader *wire, KeeperSetup *ret_setup) MUST_USE;
void keeper_setup_done(KeeperSetup *setup);

/* A Source as the keeper needs it: name, its hosts, graphql, auth, token, connect_to, allow_private, rate and
 * reserve; ca_file only as "is there one". Descriptor, if its flag is set: the source's CA bundle. */
typedef struct KeeperSource {
    Source source; /* ca_file: "" or its path, for sentences */
    bool has_ca;
    bool used; /* some run of this process may use it: its token is fetched at start */
} KeeperSource;

void keeper_source_put(const KeeperSource *source, WireWriter *wire);
int keeper_source_get(WireReader *wire, KeeperSource *ret_source) MUST_USE;
void keeper_source_done(KeeperSource *source);

void token_ref_put(const TokenRef *ref, WireWriter *wire);
int token_ref_get(WireReader *wire, TokenRef *ret_ref) MUST_USE;

/* Where stores are and how to log in; each at most once, before the sources. */
void keeper_vault_put(const VaultConfig *vault, WireWriter *wire);
int keeper_vault_get(WireReader *wire, VaultConfig *ret_vault) MUST_USE;
void keeper_kubernetes_put(const KubernetesConfig *kubernetes, WireWriter *wire);
int keeper_kubernetes_get(WireReader *wire, KubernetesConfig *ret_kubernetes) MUST_USE;

#define IPC_MAX_FILES 1024

/* A file that tokens, their stores' CAs and client certificates are read from: beside it its descriptor,
 * unless it could not be opened. At set-up one of each, in order; later again when the keeper asks for it by
 * its index (IPC_KEEPER_FILE_WANTED, a u32): a file that was replaced is another file. The keeper can ask for
 * no other. */
typedef struct KeeperFile {
    uint32_t index;
    uint32_t error; /* errno of opening it; 0: the descriptor is there */
    char *path;
} KeeperFile;

void keeper_file_put(const KeeperFile *file, WireWriter *wire);
int keeper_file_get(WireReader *wire, KeeperFile *ret_file) MUST_USE;

/* How a source's token stands: after the first fetch, and whenever that changes. */
typedef struct KeeperToken {
    uint32_t source;
    bool found;
    char sentence[IPC_MAX_TEXT]; /* why not */
    char store[32];              /* "vault", "keyring", ... */
    char version[64];            /* as the store counts; "" when it does not */
    int64_t fetched, expires;    /* wall, us; 0: never */
    uint32_t renewed;            /* how often, since it was fetched first */
    uint64_t calls;              /* to the store, for this token */
} KeeperToken;

void keeper_token_put(const KeeperToken *token, WireWriter *wire);
int keeper_token_get(WireReader *wire, KeeperToken *ret_token) MUST_USE;

/* A run begins. Beside it: the keeper's end of its gate's channel, then for each source of `reveal` a file
 * that is to hold its token while the run lasts, empty and open for writing. */
typedef struct KeeperRun {
    char *run; /* id */
    char *retriever;
    uint64_t time_limit; /* us: a lease's time when its policy says none */
    GrantRef *grant;
    size_t n_grant;
    HostPort *egress;
    size_t n_egress;
    uint32_t reveal[CONFIG_MAX_REVEALED]; /* sources */
    size_t n_reveal;
    bool record; /* what it asks for is told on close (RunSeen) */
} KeeperRun;

void keeper_run_put(const KeeperRun *run, WireWriter *wire);
int keeper_run_get(WireReader *wire, KeeperRun *ret_run) MUST_USE;
void keeper_run_done(KeeperRun *run);

typedef struct RunRefused {
    char run[64];
    char sentence[768];
} RunRefused;

void run_refused_put(const RunRefused *refused, WireWriter *wire);
int run_refused_get(WireReader *wire, RunRefused *ret_refused) MUST_USE;

/* How a run used one source. `unused`: its lease was never seen. */
typedef struct RunSource {
    char run[64];
    uint32_t source;
    uint64_t requests, refused, failed, retried; /* failed: upstream errors (502, 504) */
    uint64_t sent, received;                     /* body bytes */
    uint64_t redacted;                           /* credentials taken out of answers */
    uint64_t store_calls;                        /* to its token's store: login, read, renew, revoke */
    int64_t token_set; /* wall us: when the token was put into its store; 0: the store does not say */
    bool unused;
} RunSource;

void run_source_put(const RunSource *source, WireWriter *wire);
int run_source_get(WireReader *wire, RunSource *ret_source) MUST_USE;

/* One of the provider's own limits of a source, as its last answer told it. */
typedef struct RunLimit {
    char run[64];
    uint32_t source;
    char name[48];             /* as the provider calls it; "" */
    uint64_t limit, remaining; /* UINT64_MAX: it has not said */
    uint64_t reserved;         /* of it for people */
    int64_t told, reset;       /* wall us */
} RunLimit;

void run_limit_put(const RunLimit *limit, WireWriter *wire);
int run_limit_get(WireReader *wire, RunLimit *ret_limit) MUST_USE;

/* The keeper is done with a run. */
typedef struct RunClosed {
    char run[64];
    char installation[40]; /* whose audit it is: of the audit's key; in a pod with "-CHAIN" behind it */
    uint64_t number;       /* of the run's seal in the audit; 0: it could not be written */
    unsigned char head[32];
    int64_t time; /* wall us */
} RunClosed;

void run_closed_put(const RunClosed *closed, WireWriter *wire);
int run_closed_get(WireReader *wire, RunClosed *ret_closed) MUST_USE;

/* One kind of refusal, counted: same code, method, host and path. Kept in the run's summary. */
#define RUN_WOULD_REFUSE "would-refuse" /* the code of what passed all the same: `mode: audit` */

typedef struct RunRefusal {
    char run[64];
    char code[32]; /* "path-denied", ...: refusal codes are in docs/refusals.md */
    char method[16];
    char host[254];
    char path[1024]; /* cut; without the query */
    char sentence[768];
    uint64_t count;
} RunRefusal;

#define RUN_SEEN_MAX_TEXT 2048 /* of a path, of the names in a query */

/* One kind of request that a recorded run was answered; texts point into the record. A REST request has a
 * path and the names of its query's parameters ("page&per_page"), a GraphQL request the document as it was
 * sent and its variables as an object of GraphQL. Neither path nor document: `count` requests were not kept.
 */
typedef struct RunSeen {
    char run[64];
    uint32_t source;
    char method[8];
    char host[254];
    Slice path, query;
    Slice document, variables;
    uint64_t count;
} RunSeen;

void run_seen_put(const RunSeen *seen, WireWriter *wire);
int run_seen_get(WireReader *wire, RunSeen *ret_seen) MUST_USE;

void run_refusal_put(const RunRefusal *refusal, WireWriter *wire);
int run_refusal_get(WireReader *wire, RunRefusal *ret_refusal) MUST_USE;
