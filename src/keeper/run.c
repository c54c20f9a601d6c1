/* Runs. See run.h. */
#include "keeper/run.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/gate.h"
#include "keeper/held.h"
#include "keeper/report.h"
#include "keeper/reveal.h"
#include "keeper/setup.h"
#include "keeper/stream.h"
#include "keeper/tls.h"
#include "keeper/tunnel.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

DecideRequest run_question(Run *run, const StreamRequest *request, const HttpHead *head)
{
    return (DecideRequest){.key = run->key,
                           .grant = run->grant,
                           .n_grant = run->n_grant,
                           .redirects = &run->redirects,
                           .request = request,
                           .head = head,
                           .now = clock_mono(),
                           .wall = clock_wall(),
                           .narrowed = &run->narrowed};
}

static void audit_run(const Run *run, const char *event, const Grant *grant, uint64_t count)
{
    AuditEvent line = {.event = event,
                       .run = run->id,
                       .retriever = run->retriever,
                       .source = grant ? grant->origin->name : NULL,
                       .count = count};
    audit_add(run->keeper->audit, &line);
}

static bool may_record(Run *run, uint64_t *over)
{
    if (run->records == 0)
        ++*over;
    return run->records > 0 && run->records-- > 0;
}

bool run_may_record(Run *run)
{
    return may_record(run, &run->unrecorded);
}

bool run_may_record_revoke(Run *run)
{
    return may_record(run, &run->unrecorded_revokes);
}

static void record_unrecorded(Run *run)
{
    if (run->unrecorded)
        audit_run(run, "refused.more", NULL, run->unrecorded);
    if (run->unrecorded_revokes)
        audit_run(run, "lease.revoke.more", NULL, run->unrecorded_revokes);
    run->unrecorded = run->unrecorded_revokes = 0;
    run->records = run->records + KEEPER_RUN_REFILL < KEEPER_RUN_RECORDS ? run->records + KEEPER_RUN_REFILL
                                                                         : KEEPER_RUN_RECORDS;
}

void run_forget_stream(Run *run, Stream *stream)
{
    TAILQ_REMOVE(&run->streams, stream, link);
    run->n_stream--;
}

/* Whether the chain begins with the other one. */
static bool begins_with(const Narrowing *chain, const Narrowing *with)
{
    return chain->n >= with->n &&
           memcmp(chain->place, with->place, with->n * sizeof(LeasePlace)) == 0; /* not secret */
}

void run_end_streams(Run *run, const Grant *grant, const Narrowing *narrowing)
{
    Stream *next;
    Refused refused;
    refused_set(&refused, REFUSAL_REVOKED, "the lease was revoked while its request was under way");
    for (Stream *stream = TAILQ_FIRST(&run->streams); stream; stream = next) {
        next = TAILQ_NEXT(stream, link);
        if (stream->grant == grant && begins_with(&stream->decided.narrowing, narrowing))
            stream_end(stream, &refused);
    }
}

void run_lose_gate(Run *run)
{
    if (run->gate.fd < 0)
        return;
    event_del(&run->gate_event);
    fd_close(&run->gate.fd);
}

static void end_streams(Run *run)
{
    while (!TAILQ_EMPTY(&run->streams))
        stream_free(TAILQ_FIRST(&run->streams));
    tunnel_free_all(run);
}

void run_distrust(Run *run)
{
    log_warning("run %s: its gate sent what no gate sends; it is served no more, which ends the run",
                run->id);
    run_lose_gate(run);
    end_streams(run);
}

/* Tokens and shares of rates outlive the run: they no longer count its grants. */
static void leave_sources(Run *run)
{
    for (size_t i = 0; i < run->n_grant; i++) {
        Grant *grant = &run->grant[i];
        share_leave(grant->share, &grant->member);
        if (run->keeper->upstream[grant->source].held)
            held_leave(run->keeper->upstream[grant->source].held);
    }
    run->n_grant = 0;
}

static void run_free(Run *run)
{
    if (!run)
        return;
    end_streams(run);
    leave_sources(run);
    run_lose_gate(run);
    reveal_end(run);
    secret_release(run->key, LEASE_KEY);
    for (size_t i = 0; i < run->n_egress; i++)
        mem_free(run->egress[i].host);
    mem_free(run->egress);
    mem_free(run->grant);
    narrowed_done(&run->narrowed);
    redirects_done(&run->redirects);
    mem_free(run->refusal);
    seen_done(&run->seen);
    mem_free(run->id);
    mem_free(run->retriever);
    mem_free(run);
}

static int send_leases(Run *run)
{
    unsigned char room[2048];
    for (size_t i = 0; i < run->n_grant && !run->issued; i++)
        audit_run(run, "lease.issue", &run->grant[i], 0);
    run->issued = true; /* whoever asks again gets the same */
    /* A lease that could not be recorded is worth nothing as long as that is so: requests ask. */
    (void)!keeper_flush_audit(run->keeper);
    int r = 0;
    for (size_t i = 0; i < run->n_grant && r == 0; i++) {
        char text[LEASE_MAX_TEXT];
        lease_issue(run->key, run->grant[i].id, text);
        WireWriter wire = WIRE_WRITER(room);
        LeaseRecord lease = {run->grant[i].source, slice_of(text)};
        lease_record_put(&lease, &wire);
        r = ipc_send_wire(&run->gate, IPC_LEASE, &wire, NULL, 0);
        sodium_memzero(text, sizeof(text));
        sodium_memzero(room, sizeof(room));
    }
    return r ? r : ipc_send(&run->gate, IPC_LEASES_END, (Slice){"", 0}, NULL, 0);
}

/* The script starts once it has its leases: not before its tokens are there, or known not to come. */
static int give_leases(Run *run)
{
    for (size_t i = 0; i < run->n_grant; i++) {
        const Held *held = run->keeper->upstream[run->grant[i].source].held;
        if (held && !held_is_settled(held)) {
            run->wants_leases = true;
            return 0;
        }
    }
    run->wants_leases = false;
    return send_leases(run);
}

void run_tokens_settled(Keeper *keeper)
{
    Run *run;
    TAILQ_FOREACH(run, &keeper->runs, link)
    {
        if (run->wants_leases && run->gate.fd >= 0 && give_leases(run) != 0)
            run_lose_gate(run);
    }
}

/* A share of what the process can have, however many runs there are. */
static size_t most_streams(const Keeper *keeper)
{
    size_t share = keeper->all_streams / (keeper->n_run ? keeper->n_run : 1);
    return share > KEEPER_RUN_STREAMS   ? KEEPER_RUN_STREAMS
           : share < KEEPER_MIN_STREAMS ? KEEPER_MIN_STREAMS
                                        : share;
}

static void take_connection(Run *run, int fd)
{
    if (run->n_stream >= most_streams(run->keeper) || run->keeper->stopping) {
        fd_close(&fd);
        return;
    }
    Stream *stream = stream_new(run, fd);
    if (stream) {
        TAILQ_INSERT_TAIL(&run->streams, stream, link);
        run->n_stream++;
    }
}

static int take_gates_refusal(Run *run, WireReader *wire)
{
    static RunRefusal refusal; /* 2.3 kB */
    int r = run_refusal_get(wire, &refusal);
    if (r)
        return r;
    refusal.count = 1;
    report_refusal(run, &refusal);
    AuditEvent event = {.event = "refused",
                        .run = run->id,
                        .retriever = run->retriever,
                        .method = refusal.method,
                        .target = slice_of(refusal.path),
                        .host = refusal.host,
                        .decision = AUDIT_REFUSED,
                        .code = refusal.code,
                        .sentence = refusal.sentence};
    if (run_may_record(run))
        audit_add(run->keeper->audit, &event);
    return 0;
}

static int take_record(Run *run, IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    TunnelRecord tunnel;
    int r;
    switch (record->type) {
    case IPC_CONNECTION:
        take_connection(run, ipc_record_take(record, 0));
        return 0;
    case IPC_LEASES_WANTED:
        return give_leases(run);
    case IPC_TUNNEL_WANTED:
        r = tunnel_get(&wire, &tunnel);
        if (r == 0)
            tunnel_wanted(run, &tunnel);
        return r;
    case IPC_GATE_REFUSED:
        return take_gates_refusal(run, &wire);
    default:
        return -EPROTO;
    }
}

static void on_gate(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    static unsigned char room[IPC_MAX_RECORD] __attribute__((aligned(16)));
    Run *run = context;
    IpcRecord record;
    int r = ipc_recv(&run->gate, room, &record);
    if (r == -EAGAIN)
        return;
    if (r == 0) {
        r = take_record(run, &record);
        ipc_record_close(&record);
    }
    if (r == 0)
        return;
    if (r == -ECONNRESET)
        run_lose_gate(run);
    else
        run_distrust(run);
}

static int make_grants(Run *run, const KeeperRun *record)
{
    Keeper *keeper = run->keeper;
    int64_t now = clock_mono();
    run->grant = MEM_NEW_ARRAY(Grant, record->n_grant ? record->n_grant : 1);
    for (size_t i = 0; i < record->n_grant; i++) {
        const GrantRef *ref = &record->grant[i];
        if (ref->source >= keeper->n_upstream || ref->policy >= keeper->n_policy)
            return -EINVAL;
        Grant *grant = &run->grant[run->n_grant++];
        grant->source = ref->source;
        grant->origin = &keeper->upstream[ref->source].source;
        grant->policy = keeper->policy[ref->policy];
        grant->audit_until = ref->audit_until;
        grant->limits = &keeper->upstream[ref->source].limits;
        grant->share = &keeper->upstream[ref->source].share;
        share_join(grant->share, &grant->member);
        randombytes_buf(grant->id, sizeof(grant->id));
        budget_init(&grant->budget, &grant->policy->budget, record->time_limit, now);
        if (keeper->upstream[ref->source].held)
            held_enter(keeper->upstream[ref->source].held);
    }
    return 0;
}

static int set_up(Run *run, KeeperRun *record)
{
    run->id = STEAL(record->run);
    run->retriever = STEAL(record->retriever);
    run->egress = STEAL(record->egress);
    run->n_egress = record->n_egress;
    record->n_egress = 0;
    run->record = record->record;
    run->key = secret_alloc(LEASE_KEY);
    if (!run->key)
        return -ENOMEM;
    lease_key_make(run->key);
    return make_grants(run, record);
}

/* Reveals what it is to; a run for which that fails gets no leases, so its script does not begin. */
static int reveal_all(Run *run, const KeeperRun *message, IpcRecord *record, Fault *fault)
{
    int file[CONFIG_MAX_REVEALED];
    for (size_t i = 0; i < message->n_reveal; i++)
        file[i] = ipc_record_take(record, 1 + i);
    if (reveal_tokens(run, message, file, fault) == 0)
        return 0;
    run_lose_gate(run);
    return RUN_E_REFUSED;
}

/* While the run's gate and script start: reading the public roots takes 30 ms. What fails is said by the
 * first dial. */
static void prepare_tls(evutil_socket_t fd, short what, void *context)
{
    Upstream *upstream = context;
    Refused later;
    (void)fd, (void)what;
    if (upstream->source.api.tls)
        (void)!tls_prepare(upstream->keeper, upstream, &later);
}

static void prepare_upstreams(const Run *run)
{
    const struct timeval now = {0};
    for (size_t i = 0; i < run->n_grant; i++) {
        Upstream *upstream = &run->keeper->upstream[run->grant[i].source];
        if (!upstream->tls)
            event_base_once(run->keeper->base, -1, EV_TIMEOUT, prepare_tls, upstream, &now);
    }
}

int run_open(Keeper *keeper, IpcRecord *record, Fault *fault)
{
    KeeperRun message;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper->n_run >= KEEPER_MAX_RUNS ? -EMFILE : keeper_run_get(&wire, &message);
    if (r)
        return r;
    Run *run = MEM_NEW(Run);
    *run = (Run){.keeper = keeper,
                 .gate = {ipc_record_take(record, 0), IPC_KEEPER, IPC_GATE, IPC_OPEN},
                 .records = KEEPER_RUN_RECORDS};
    TAILQ_INIT(&run->streams);
    TAILQ_INIT(&run->tunnels);
    event_assign(&run->gate_event, keeper->base, run->gate.fd, EV_READ | EV_PERSIST, on_gate, run);
    r = record->n_fd == 1 + message.n_reveal ? set_up(run, &message) : -EBADMSG;
    r = r ? r : io_set_nonblocking(run->gate.fd);
    if (r) {
        keeper_run_done(&message);
        run_free(run);
        return r;
    }
    event_add(&run->gate_event, NULL);
    TAILQ_INSERT_TAIL(&keeper->runs, run, link);
    keeper->n_run++;
    audit_run(run, "run.open", NULL, 0);
    r = reveal_all(run, &message, record, fault);
    keeper_run_done(&message);
    prepare_upstreams(run);
    return r;
}

static void forget(Run *run)
{
    run->keeper->n_run--;
    TAILQ_REMOVE(&run->keeper->runs, run, link);
    run_free(run);
}

static Run *find_run(const Keeper *keeper, const char *id)
{
    Run *run;
    TAILQ_FOREACH(run, &keeper->runs, link)
    {
        if (strcmp(run->id, id) == 0)
            return run;
    }
    return NULL;
}

/* The run's records end in a seal, whose head the sink keeps. */
static void seal(Run *run, RunClosed *closed)
{
    Keeper *keeper = run->keeper;
    AuditSeal made;
    record_unrecorded(run);
    for (size_t i = 0; i < run->n_grant; i++)
        audit_run(run, "run.requests", &run->grant[i], run->grant[i].count.requests);
    audit_run(run, "run.close", NULL, 0);
    if (audit_seal(keeper->audit, run->id, run->retriever, &made) != 0)
        return; /* the next run's seal is of this one's records too */
    snprintf(closed->installation, sizeof(closed->installation), "%s", keeper->installation);
    closed->number = made.number;
    memcpy(closed->head, made.mac.bytes, sizeof(closed->head));
    closed->time = made.time;
}

int run_close(Keeper *keeper, const char *id)
{
    unsigned char room[256];
    WireWriter wire = WIRE_WRITER(room);
    RunClosed closed = {.number = 0};
    Run *run = find_run(keeper, id);
    snprintf(closed.run, sizeof(closed.run), "%s", id);
    int r = 0;
    if (run) {
        end_streams(run);
        seal(run, &closed);
        r = report_send(run);
        r = r ? r : seen_send(run);
        forget(run);
    }
    run_closed_put(&closed, &wire);
    return r ? r : setup_tell(keeper, IPC_KEEPER_RUN_CLOSED, (Slice){(char *)room, wire.len});
}

void run_tick(Keeper *keeper, int64_t now)
{
    Run *run;
    TAILQ_FOREACH(run, &keeper->runs, link)
    {
        Stream *next;
        record_unrecorded(run);
        for (Stream *stream = TAILQ_FIRST(&run->streams); stream; stream = next) {
            next = TAILQ_NEXT(stream, link);
            stream_tick(stream, now);
        }
    }
}

void run_free_all(Keeper *keeper)
{
    while (!TAILQ_EMPTY(&keeper->runs))
        forget(TAILQ_FIRST(&keeper->runs));
}
