/* Runs: a lease key in the arena, a lease per grant, the gate's channel, its streams and tunnels, the report.
 */
#pragma once

#include "ipc/keeper.h"
#include "keeper/decide.h"
#include "keeper/keeper.h"
#include "keeper/seen.h"

/* A file that holds a token of the run's for real. */
typedef struct Revealed {
    int file;
    size_t len;
} Revealed;

struct Run {
    Keeper *keeper;
    char *id, *retriever;
    HostPort *egress;
    size_t n_egress;
    unsigned char *key; /* LEASE_KEY bytes in the arena */
    Grant *grant;
    size_t n_grant;
    Redirects redirects;
    Narrowed narrowed;
    IpcPeer gate; /* fd -1: the gate has gone */
    struct event gate_event;
    struct StreamList streams;
    size_t n_stream;
    size_t gathered; /* bytes of bodies that its streams put together */
    struct TunnelList tunnels;
    size_t n_tunnel;
    bool record; /* what it asks for is kept in `seen`, and told on close */
    Seen seen;
    bool issued;       /* its leases were given out, and that is on record */
    bool wants_leases; /* the gate waits for them: a token of its sources is still being fetched */
    RunRefusal *refusal;
    size_t n_refusal;
    Revealed revealed[CONFIG_MAX_REVEALED];
    size_t n_revealed;
    unsigned records;    /* refusals, and revocations, that may still have a record each */
    uint64_t unrecorded; /* those that had none, since the last tick */
    uint64_t unrecorded_revokes;
    TAILQ_ENTRY(Run) link;
};

/* IPC_KEEPER_RUN_OPEN: takes the descriptors over. -EBADMSG, -EINVAL (a grant of nothing), -ENOMEM (arena).
 * RUN_E_REFUSED with a sentence: a token cannot be revealed; the run is there to be closed, but its gate gets
 * nothing. */
enum { RUN_E_REFUSED = 1 };
int run_open(Keeper *keeper, IpcRecord *record, Fault *fault) MUST_USE;
void run_lose_gate(Run *run); /* its channel broke or ended: no more streams or tunnels come; the run stays */
/* Its gate broke the protocol, on its channel or on a stream, as none does that is whole: nothing more is
 * believed of it. Channel and streams are closed, so that the gate ends, and with it the run. */
void run_distrust(Run *run);

/* IPC_KEEPER_RUN_CLOSE: revokes, ends the streams, seals the audit, reports. Unknown runs are reported as
 * closed. */
int run_close(Keeper *keeper, const char *id) MUST_USE;

/* Whose leases these are, for decide.h. */
DecideRequest run_question(Run *run, const StreamRequest *request, const HttpHead *head);
/* Ends what is under way with the lease that has this chain (n 0: the grant's own), or with one that was
 * narrowed from it. */
void run_end_streams(Run *run, const Grant *grant, const Narrowing *narrowing);
void run_tokens_settled(Keeper *keeper); /* runs that wait for a token's fetch look again */

/* Whether a refusal is worth a record of its own: of a client that is refused without end, only the number
 * is.
 */
bool run_may_record(Run *run);
bool run_may_record_revoke(Run *run); /* likewise: a script can narrow and revoke without end */

void run_forget_stream(Run *run, Stream *stream); /* from stream_free() */
void run_tick(Keeper *keeper, int64_t now);
void run_free_all(Keeper *keeper);
