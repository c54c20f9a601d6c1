/* purser-keeper: holds the tokens, decides every request, speaks to the upstreams, writes the audit.
 * These lines are its architecture: set-up is taken, the role locks itself in, tokens are opened, the loop
 * turns.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/conn.h"
#include "keeper/hold.h"
#include "keeper/parked.h"
#include "keeper/run.h"
#include "keeper/setup.h"
#include "keeper/token.h"
#include "keeper/tunnel.h"
#include "sandbox/sandbox.h"
#include "json/arena.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define STOP_US     (2L * CLOCK_SECOND)
#define OTHER_FILES 1024 /* descriptors for all but streams: runs, idle upstreams, names being resolved */

static Keeper self;

/* The supervisor has gone, or broke the table: nobody is left to work for. */
static void end(Keeper *keeper)
{
    keeper->ended = true;
}

static void stop(Keeper *keeper)
{
    keeper->stopping = true;
    keeper->stop_by = clock_mono() + STOP_US;
    keeper->supervisor.stage = IPC_ENDING;
}

static int open_run(Keeper *keeper, IpcRecord *record)
{
    unsigned char room[1024];
    WireWriter answer = WIRE_WRITER(room);
    KeeperRun run; /* its id, for the answer */
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    Fault fault = {.text = ""};
    int r = keeper_run_get(&wire, &run);
    if (r)
        return r;
    r = run_open(keeper, record, &fault);
    if (r == RUN_E_REFUSED) {
        RunRefused refused;
        snprintf(refused.run, sizeof(refused.run), "%s", run.run);
        snprintf(refused.sentence, sizeof(refused.sentence), "%.767s", fault.text);
        run_refused_put(&refused, &answer);
        r = answer.failed ? -EMSGSIZE
                          : setup_tell(keeper, IPC_KEEPER_RUN_REFUSED, (Slice){(char *)room, answer.len});
    } else if (r == 0) {
        r = setup_tell(keeper, IPC_KEEPER_RUN_OPENED, slice_of(run.run));
    }
    keeper_run_done(&run);
    return r;
}

static int take_command(Keeper *keeper, IpcRecord *record)
{
    switch (record->type) {
    case IPC_KEEPER_RUN_OPEN:
        return open_run(keeper, record);
    case IPC_KEEPER_RUN_CLOSE: {
        CLEANUP_MEM char *id = mem_dup(record->payload.ptr, record->payload.len);
        return run_close(keeper, id);
    }
    case IPC_KEEPER_AUDIT: {
        CLEANUP_MEM char *before = mem_dup(record->payload.ptr, record->payload.len);
        audit_turn(keeper->audit, ipc_record_take(record, 0), before);
        return 0;
    }
    case IPC_KEEPER_FILE:
        return setup_take_file(keeper, record);
    case IPC_KEEPER_CREDENTIAL:
        return token_send_credential(keeper, record->payload, ipc_record_take(record, 0));
    case IPC_KEEPER_HOLD:
    case IPC_KEEPER_READ:
    case IPC_KEEPER_GO_ON:
        return hold_take_record(keeper, record->type, record->payload);
    case IPC_KEEPER_PING:
        return setup_tell(keeper, IPC_KEEPER_PONG, (Slice){"", 0});
    case IPC_STOP:
        stop(keeper);
        return 0;
    default:
        return -EPROTO;
    }
}

static void on_control(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    static unsigned char room[IPC_MAX_RECORD] __attribute__((aligned(16)));
    Keeper *keeper = context;
    IpcRecord record;
    int r = ipc_recv(&keeper->supervisor, room, &record);
    if (r == -EAGAIN)
        return;
    if (r == 0) {
        r = take_command(keeper, &record);
        ipc_record_close(&record);
    }
    if (r && r != -ECONNRESET)
        log_error("a record from the supervisor could not be carried out: %s", strerror(-r));
    if (r)
        end(keeper);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Keeper *keeper = context;
    int64_t now = clock_mono();
    conn_tick(keeper, now);
    run_tick(keeper, now);
}

/* First what was decided is on record, then it is done or said. */
static void settle(Keeper *keeper)
{
    int r;
    do {
        r = keeper_flush_audit(keeper);
        parked_release(keeper->parked, r);
        while (!TAILQ_EMPTY(&keeper->dialled))
            tunnel_release(TAILQ_FIRST(&keeper->dialled));
        while (!TAILQ_EMPTY(&keeper->recorded))
            request_recorded(TAILQ_FIRST(&keeper->recorded));
        while (!TAILQ_EMPTY(&keeper->unread) && parked_room(keeper->parked))
            answer_take_unread(TAILQ_FIRST(&keeper->unread));
    } while (parked_any(keeper->parked));
    /* What has come of these: a refusal of a request whose connection cannot be made, the end of a body. */
    if (r == 0)
        (void)!keeper_flush_audit(keeper);
    while (!TAILQ_EMPTY(&keeper->refused))
        stream_flush_refusal(TAILQ_FIRST(&keeper->refused));
}

/* The end of a turn; then what was opened is gone. */
static void end_turn(Keeper *keeper)
{
    hold_turn(keeper);
    settle(keeper);
    sodium_memzero(keeper->read_room, keeper->read_used);
    keeper->read_used = 0;
    if (keeper->opened)
        secret_wipe_traces();
    keeper->opened = false;
}

static bool busy(const Keeper *keeper)
{
    const Run *run;
    const Stream *stream;
    TAILQ_FOREACH(run, &keeper->runs, link)
    TAILQ_FOREACH(stream, &run->streams, link)
    if (stream->state != STREAM_IDLE)
        return true;
    return false;
}

static void turn_around(Keeper *keeper)
{
    while (!keeper->ended) {
        event_base_loop(keeper->base, EVLOOP_ONCE);
        end_turn(keeper);
        if (keeper->stopping && (!busy(keeper) || clock_mono() >= keeper->stop_by))
            end(keeper);
    }
}

/* Two descriptors a stream: its gate's, its upstream's. */
static void count_streams(Keeper *keeper)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    size_t room = files.rlim_max > OTHER_FILES ? (files.rlim_max - OTHER_FILES) / 2 : KEEPER_MIN_STREAMS;
    keeper->all_streams = room < KEEPER_ALL_STREAMS ? room : KEEPER_ALL_STREAMS;
}

static int prepare(Keeper *keeper, Fault *fault)
{
    keeper->supervisor = (IpcPeer){IPC_CONTROL_FD, IPC_KEEPER, IPC_SUPERVISOR, IPC_SETUP};
    keeper->ca_fd = keeper->roots_fd = keeper->ring_fd = keeper->key_fd = -1;
    TAILQ_INIT(&keeper->runs);
    TAILQ_INIT(&keeper->recorded);
    TAILQ_INIT(&keeper->unread);
    TAILQ_INIT(&keeper->refused);
    TAILQ_INIT(&keeper->dialled);
    TAILQ_INIT(&keeper->holding);
    TAILQ_INIT(&keeper->held);
    count_streams(keeper);
    int r = secret_init(KEEPER_ARENA, fault);
    if (r)
        return r;
    keeper->send_room = secret_alloc(KEEPER_SEND_ROOM);
    keeper->audit_key = secret_alloc(AUDIT_KEY);
    keeper->parked = parked_new();
    keeper->read_room = MEM_NEW_ARRAY(char, KEEPER_READ_ROOM);
    json_arena_install(GRAPHQL_JSON_ARENA);
    keeper->base = event_base_new();
    keeper->control = event_new(keeper->base, IPC_CONTROL_FD, EV_READ | EV_PERSIST, on_control, keeper);
    keeper->tick = event_new(keeper->base, -1, EV_PERSIST, on_tick, keeper);
    return dialer_new(keeper, &keeper->dialer, fault);
}

static int start(Keeper *keeper, Fault *fault)
{
    struct timeval second = {1, 0};
    audit_add(keeper->audit, &(AuditEvent){.event = "keeper.start"});
    setup_open_keyring(keeper);
    int r = token_start(keeper);
    r = r ? r : setup_tell(keeper, IPC_KEEPER_READY, (Slice){"", 0});
    if (r)
        return fault_set(fault, r, "the supervisor does not listen");
    keeper->supervisor.stage = IPC_OPEN;
    event_add(keeper->control, NULL);
    event_add(keeper->tick, &second);
    end_turn(keeper);
    malloc_trim(0); /* what reading the configuration and the keyring took */
    return 0;
}

static void clean_up(Keeper *keeper)
{
    run_free_all(keeper);
    event_del(keeper->control);
    held_close_all(keeper);
    audit_add(keeper->audit, &(AuditEvent){.event = "keeper.stop"});
    end_turn(keeper);
    token_free_all(keeper);
    setup_done(keeper);
    dialer_free(keeper->dialer);
    parked_free(keeper->parked);
    mem_free(keeper->read_room);
    event_free(keeper->control);
    event_free(keeper->tick);
    event_base_free(keeper->base);
    secret_done();
}

int main(void)
{
    log_open("purser-keeper", LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    /* Its supervisor's end is the end of its control socket, after which it still overwrites what it
     * revealed. */
    prctl(PR_SET_PDEATHSIG, 0);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the audit's file is an error of write() */
    mallopt(M_ARENA_MAX, 1);  /* libcurl's resolver thread needs no heap of its own */
    Fault fault = {.text = ""};
    int r = sandbox_harden(&fault);
    r = r ? r : prepare(&self, &fault);
    r = r ? r : setup_receive(&self, &fault);
    r = r ? r : setup_lock_in(&self, &fault);
    r = r ? r : start(&self, &fault);
    if (r == -ECONNRESET || r == -ECANCELED)
        return 0;
    if (r) {
        log_error("%s", fault.text[0] ? fault.text : strerror(-r));
        if (self.base && setup_tell(&self, IPC_FAULT, slice_of(fault.text)) != 0)
            log_error("the supervisor does not listen");
        return 1;
    }
    turn_around(&self);
    clean_up(&self);
    return 0;
}
