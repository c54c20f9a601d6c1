/* Records between roles: the one table of who may send what to whom, and when.
 *
 * A record is one packet of a SOCK_SEQPACKET socket: a header (version, type, length) and a payload in the
 * encoding of base/wire.h, 64 kB together at most, with at most IPC_MAX_FDS descriptors beside it. A record
 * that its row in record.c does not allow (wrong sender, wrong stage, too long, too many or too few
 * descriptors) is -EPROTO, and its receiver ends the channel: a role that breaks the table is broken or in
 * somebody's hands.
 */
#pragma once

#include "base/slice.h"
#include "base/wire.h"

#define IPC_VERSION     1
#define IPC_HEADER      8
#define IPC_MAX_RECORD  65536
#define IPC_MAX_PAYLOAD (IPC_MAX_RECORD - IPC_HEADER)
#define IPC_MAX_FDS     8
#define IPC_CONTROL_FD  3 /* a role finds its control socket to the supervisor here */

typedef enum IpcRole {
    IPC_SUPERVISOR = 1,
    IPC_GATE = 2,
    IPC_KEEPER = 4,
    IPC_CLERK = 8,
    IPC_RUNNER = 16,
} IpcRole;

/* The stages of a channel, moved on by each end itself with ipc_stage(): SETUP until everything was told,
 * then OPEN, then ENDING once the end was announced. */
typedef enum IpcStage { IPC_SETUP = 1, IPC_OPEN = 2, IPC_ENDING = 4 } IpcStage;

typedef enum IpcType {
    /* supervisor -> keeper */
    IPC_KEEPER_SETUP = 1,  /* KeeperSetup + descriptors */
    IPC_KEEPER_SOURCE,     /* KeeperSource + descriptors, in the order of the configuration */
    IPC_KEEPER_FILE,       /* KeeperFile + its descriptor: before what names it, and when it was asked for */
    IPC_KEEPER_VAULT,      /* VaultConfig */
    IPC_KEEPER_KUBERNETES, /* KubernetesConfig */
    IPC_KEEPER_POLICY,     /* policy_put(), in the order of the configuration */
    IPC_KEEPER_START,      /* that was all: lock yourself in */
    IPC_KEEPER_RUN_OPEN,   /* KeeperRun + the keeper's end of the run's gate channel, + a file per revealed
                              token */
    IPC_KEEPER_RUN_CLOSE,  /* run id: revoke its leases, report */
    IPC_KEEPER_CREDENTIAL, /* TokenRef + the keeper's end of a clerk channel */
    IPC_KEEPER_AUDIT,      /* name of the audit's file so far + the descriptor of the one to go on in */
    IPC_STOP,              /* to any role: finish what is under way and end */
    /* keeper -> supervisor */
    IPC_KEEPER_READY,       /* locked in */
    IPC_KEEPER_TOKEN,       /* KeeperToken: how a source's token was found, and whenever that changes */
    IPC_KEEPER_FILE_WANTED, /* u32, index of an IPC_KEEPER_FILE: open it anew */
    IPC_KEEPER_RUN_OPENED,
    IPC_KEEPER_RUN_REFUSED, /* RunRefused: no leases of it go out, since a token cannot be revealed */
    IPC_KEEPER_RUN_SOURCE,  /* RunSource: calls of one source, on close */
    IPC_KEEPER_RUN_REFUSAL, /* RunRefusal: one kind of refusal, on close */
    IPC_KEEPER_RUN_LIMIT,   /* RunLimit: what a provider has left of one of its limits, on close */
    IPC_KEEPER_RUN_CLOSED,  /* RunClosed */
    IPC_FAULT,              /* any role -> supervisor: a sentence; it cannot go on and ends */
    IPC_KEEPER_PING,        /* supervisor -> keeper: are you there? */
    IPC_KEEPER_PONG,        /* keeper -> supervisor, at once */
    IPC_KEEPER_RUN_SEEN,    /* RunSeen: of a recorded run one kind of request, on close */
    /* A rotation beside them (keeper/hold.h). Each is of one source: a u32; those of the keeper with a bool.
     */
    IPC_KEEPER_HOLD,     /* supervisor -> keeper: its new requests wait */
    IPC_KEEPER_READ,     /* supervisor -> keeper: read its token again now */
    IPC_KEEPER_GO_ON,    /* supervisor -> keeper: they wait no longer */
    IPC_KEEPER_HELD,     /* keeper -> supervisor: they do, and nothing is under way any more */
    IPC_KEEPER_WAS_READ, /* keeper -> supervisor: and is in use, or (false) could not be */
    /* supervisor -> gate */
    IPC_GATE_SETUP = 32, /* GateSetup + descriptors */
    IPC_GATE_SOURCE,     /* GateSource */
    IPC_GATE_EGRESS,     /* HostPort */
    IPC_GATE_ENV,        /* RunEnv: a variable of the retriever's own `env:` */
    IPC_GATE_START,
    /* gate -> supervisor */
    IPC_GATE_READY,
    IPC_GATE_FINISHED, /* RunEnd: the runner has reported */
    /* gate -> keeper */
    IPC_CONNECTION = 48, /* the keeper's end of a stream: one client connection */
    IPC_LEASES_WANTED,
    IPC_TUNNEL_WANTED, /* Tunnel */
    IPC_GATE_REFUSED,  /* RunRefusal: the gate refused this by itself */
    /* keeper -> gate */
    IPC_LEASE, /* Lease */
    IPC_LEASES_END,
    IPC_TUNNEL_OPEN,    /* tunnel id + a connected TCP socket */
    IPC_TUNNEL_REFUSED, /* TunnelRefused */
    /* gate -> keeper, on a stream */
    IPC_REQUEST = 64, /* StreamRequest */
    IPC_BODY,         /* bytes */
    IPC_BODY_END,     /* bytes, maybe none: the last of the request */
    IPC_LEASE_ASK,    /* StreamLeaseAsk: about a lease, instead of a request; answered like one */
    /* keeper -> gate, on a stream */
    IPC_CONTINUE, /* send the body (100-continue) */
    IPC_RESPONSE, /* StreamResponse */
    IPC_DATA,     /* bytes */
    IPC_DATA_END, /* bytes, maybe none: the last of the answer */
    IPC_ABORT,    /* the answer ends here, cut off: the client must see a broken connection */
    IPC_REFUSE,   /* StreamRefuse: the answer is a refusal; instead of IPC_RESPONSE */
    /* runner -> gate */
    IPC_HELLO = 80,
    IPC_OUTPUT,         /* RunOutput + a descriptor of the file */
    IPC_OUTPUT_REFUSED, /* RunOutputRefused: something in the output folder that is not a plain file */
    IPC_RUN_END,        /* RunEnd */
    /* gate -> runner */
    IPC_ENV,       /* RunEnv */
    IPC_CA,        /* PEM of the run's CA */
    IPC_ROOTS,     /* a descriptor of the public roots */
    IPC_RUN_START, /* RunLimits: everything was told, start the script */
    IPC_LOADED,    /* RunLoaded: also clerk -> gate, clerk -> supervisor */
    IPC_RUN_NOT,   /* a sentence: no run begins, and why; instead of all of the above */
    /* supervisor -> clerk */
    IPC_CLERK_SETUP = 96, /* ClerkSetup (+ the clerk's end of a keeper channel) */
    IPC_CLERK_LOAD,       /* ClerkLoad + the clerk's end of the run's results channel */
    IPC_CLERK_INGEST,     /* ClerkLoad + a descriptor of one file; name in the record */
    IPC_CLERK_RUN,        /* ClerkRun: how a run ended */
    IPC_CLERK_STREAM,     /* retriever: how far it has come */
    IPC_CLERK_CHECK,      /* connect, look at schema and rights, change nothing */
    IPC_CLERK_MIGRATE,    /* bring the schema up to date */
    IPC_CLERK_COUNT,      /* rows per table */
    IPC_CLERK_PRUNE,      /* ClerkPrune */
    IPC_CLERK_SCHEMA,     /* the SQL for a DBA, without connecting */
    IPC_CLERK_SEAL,       /* ClerkSeal: keep this head of the audit */
    IPC_CLERK_SEALS,      /* text installation: which heads are kept */
    /* clerk -> supervisor */
    IPC_CLERK_STREAM_IS, /* i64 wall us, 0: never */
    IPC_CLERK_ROWS,      /* text table, u64 rows */
    IPC_CLERK_TEXT,      /* a piece of text */
    IPC_CLERK_SEAL_IS,   /* ClerkSeal */
    IPC_CLERK_DONE,      /* ClerkDone: the command's end */
    /* keeper -> clerk */
    IPC_CREDENTIAL = 120, /* the database credential's bytes */
    IPC_CREDENTIAL_FAULT, /* a sentence */
} IpcType;

typedef struct IpcPeer {
    int fd; /* SOCK_SEQPACKET */
    IpcRole self, other;
    IpcStage stage;
} IpcPeer;

typedef struct IpcRule {
    uint16_t type;
    const char *name;
    uint8_t from, to; /* role bits */
    uint8_t stages;
    uint32_t max_payload;
    uint8_t min_fds, max_fds;
} IpcRule;

/* The row of a type, or NULL. */
const IpcRule *ipc_rule(uint16_t type);

/* Whether `from` may send this record to `to` at this stage. Both ends ask: a sender that would break the
 * table is a bug that shows at once. */
bool ipc_allowed(uint16_t type, IpcRole from, IpcRole to, IpcStage stage, size_t payload, size_t n_fd);
