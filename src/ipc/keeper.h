/* What the supervisor tells the keeper and hears from it. `_put` writes a payload, `_get` reads one
 * (-EBADMSG) into owned memory that `_done` frees. Descriptors travel beside the record, in the order given.
 */
#pragma once

#include "config/config.h"
#include "ipc/channel.h"

#define IPC_MAX_TEXT     1024 /* names, hosts, sentences */
#define IPC_MAX_REFUSALS 64   /* kinds of refusals that a run's report has */
#define IPC_MAX_PORTS    1024 /* different ports of all retrievers' `egress:` together */

/* Descriptors: [0] audit (append), [1] CA bundle, then, each if its flag is set: keyring file, key. */
typedef struct KeeperSetup {
    bool has_keyring;
    bool has_key; /* without a key the keyring stays shut; each of its tokens is reported as denied */
    bool key_is_passphrase;
    bool sandbox_optional;
    char *keyring_path; /* for sentences */
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
 * reserve; ca_file only as "is there one". Descriptors, each if its flag is set: the source's CA bundle; the
 * token file (STORE_FILE). */
typedef struct KeeperSource {
    Source source; /* ca_file: "" or its path, for sentences */
    bool has_ca;
    bool has_token_file;
    bool used; /* some run of this process may use it: its token is fetched at start */
} KeeperSource;

void keeper_source_put(const KeeperSource *source, WireWriter *wire);
int keeper_source_get(WireReader *wire, KeeperSource *ret_source) MUST_USE;
void keeper_source_done(KeeperSource *source);

void token_ref_put(const TokenRef *ref, WireWriter *wire);
int token_ref_get(WireReader *wire, TokenRef *ret_ref) MUST_USE;
void token_ref_done(TokenRef *ref);

typedef struct KeeperToken {
    uint32_t source;
    bool found;
    char sentence[IPC_MAX_TEXT]; /* why not */
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

/* One kind of refusal, counted: same code, method, host and path. Kept in the run's summary. */
typedef struct RunRefusal {
    char run[64];
    char code[32]; /* "path-denied", ...: refusal codes are in docs/refusals.md */
    char method[16];
    char host[254];
    char path[1024]; /* cut; without the query */
    char sentence[768];
    uint64_t count;
} RunRefusal;

void run_refusal_put(const RunRefusal *refusal, WireWriter *wire);
int run_refusal_get(WireReader *wire, RunRefusal *ret_refusal) MUST_USE;
