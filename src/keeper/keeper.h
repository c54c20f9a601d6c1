/* What the parts of the keeper share: one process, one thread of its own code, one loop. A turn of the loop
 * is: take what came, decide, write upstream; then write the audit, then send what waited for it, then wipe.
 */
#pragma once

#include "audit/audit.h"
#include "config/config.h"
#include "ipc/channel.h"
#include "keeper/live.h"
#include "keeper/refusal.h"
#include "lease/limits.h"
#include "lease/share.h"
#include "net/address.h"
#include "policy/policy.h"
#include "store/client.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#define KEEPER_ARENA     (512u << 10)
#define KEEPER_READ_ROOM (64u << 10) /* of the process: one piece of one answer at a time */
#define KEEPER_SEND_ROOM                                                                                     \
    (112u << 10) /* in the arena: a head with its credential, and the body's first piece */
#define KEEPER_MAX_RUNS 256

/* What one run's clients can have at a time: see SECURITY.md. */
#define KEEPER_RUN_STREAMS  256        /* as many as its gate takes clients */
#define KEEPER_ALL_STREAMS  2048       /* of all runs, which share them when there are many */
#define KEEPER_MIN_STREAMS  8          /* of one run in any case */
#define KEEPER_MAX_GATHERED (4u << 20) /* of one run: bodies that are inspected, until they are sent */
#define KEEPER_RUN_RECORDS  1000       /* refusals and revocations with a record each; more are counted */
#define KEEPER_RUN_REFILL   20         /* so many more a second */

typedef struct Conn Conn;
typedef struct Dialer Dialer;
typedef struct Held Held;
typedef struct Parked Parked;
typedef struct Run Run;
typedef struct Stream Stream;
typedef struct Tunnel Tunnel;

TAILQ_HEAD(ConnList, Conn);
TAILQ_HEAD(StreamList, Stream);
TAILQ_HEAD(TunnelList, Tunnel);
TAILQ_HEAD(RunList, Run);
TAILQ_HEAD(HeldList, Held);

/* One host of a source: its connections and its TLS session. */
typedef struct Endpoint {
    struct Upstream *upstream;
    HostUse use;
    const Origin *origin;
    char *closed; /* why the token may not go there; NULL: it may */
    SSL_SESSION *session;
    Validity validity; /* of the last certificate that time was against */
    char issuer[100];  /* of the certificate that was not taken last */
    int64_t clock_due; /* mono, us: until then its clock is known */
    struct ConnList conns;
    size_t n_idle;
} Endpoint;

/* A source's upstream: its token, its trust, its hosts. Nothing of it is shared with another source, even of
 * the same host. */
typedef struct Upstream {
    struct Keeper *keeper;
    uint32_t index;
    bool used;
    Source source;
    Held *held; /* NULL: no run of this process uses it */
    Live *live; /* its token; NULL: `missing` says why */
    char *missing;
    bool revoked;       /* ... and it is that */
    int ca_fd;          /* -1: none */
    SSL_CTX *tls;       /* made when first dialled: parsing the roots takes 30 ms */
    Endpoint *endpoint; /* one for each of source_hosts() */
    Limits limits;      /* what the provider still gives, and */
    Share share;        /* how its leases share what it may be asked */
} Upstream;

typedef struct Keeper {
    struct event_base *base;
    IpcPeer supervisor;
    struct event *control, *tick;
    Audit *audit;
    unsigned char *audit_key;          /* in the arena */
    char installation[AUDIT_CHAIN_OF]; /* whose audit it is, as the sink knows it */
    bool audit_optional; /* what cannot be recorded goes on all the same: not mint, not reveal */
    bool audit_failed;   /* the last turn could not write it */
    Upstream *upstream;
    size_t n_upstream;
    Policy **policy;
    size_t n_policy;
    VaultConfig vault;
    KubernetesConfig kubernetes;
    StoreFiles *files;
    StoreClient *client;
    Stores stores;
    uint64_t seed, patience;
    Skew skew; /* of whoever has answered last: a store, a source's API */
    bool skew_told;
    struct HeldList held;
    unsigned closing;    /* calls that the end waits for */
    unsigned watches;    /* that are open */
    int ring_fd, key_fd; /* of the keyring, until it was read; -1: none */
    bool key_is_passphrase;
    char *ring_path, *ring_key; /* of the key file; "": a passphrase */
    char *proxy;
    char **no_proxy;
    size_t n_no_proxy;
    uint16_t *egress_port;
    size_t n_egress_port;
    bool sandbox_optional;
    int ca_fd;         /* the public roots */
    int roots_fd;      /* the same, for the stores' client */
    X509_STORE *roots; /* made when first needed */
    Dialer *dialer;
    struct RunList runs;
    size_t n_run;
    size_t n_idle;      /* connections that wait for a next request */
    size_t all_streams; /* KEEPER_ALL_STREAMS, or as the limit of descriptors has it */
    /* What waits for the audit in this turn: */
    Parked *parked;             /* heads of answers */
    struct StreamList recorded; /* requests that may change something */
    struct StreamList unread;   /* answers that waited for a store */
    struct StreamList refused;
    struct TunnelList dialled;
    struct StreamList holding; /* requests that wait for a token's successor, over turns: hold.h */
    size_t n_holding;
    char *read_room;
    size_t read_used; /* most bytes of read_room that this turn wrote */
    char *send_room;
    bool opened; /* a token was opened in this turn */
    bool stopping, ended;
    int64_t stop_by; /* mono */
} Keeper;

/* setup.c: says once that this machine's clock is wrong, as soon as somebody's answer tells. */
void keeper_mind_clock(Keeper *keeper);

/* main.c: whether requests must wait because nothing can be recorded. */
static inline bool keeper_is_mute(const Keeper *keeper)
{
    return keeper->audit_failed && !keeper->audit_optional;
}

/* setup.c: writes the audit now; what it could not write is said once, and once when it can again. 0: all
 * that was recorded is on the disk's way. */
int keeper_flush_audit(Keeper *keeper) MUST_USE;
/* For what must be on record before it happens, whatever `onFailure` says (mint, reveal): adds and writes it.
 * False: it must not happen. */
bool keeper_record(Keeper *keeper, const AuditEvent *event);
