/* A client connection, the gate's side of it: records in by a table, records out in order. See stream.h. */
#include "keeper/stream.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/held.h"
#include "keeper/hold.h"
#include "keeper/lease-ask.h"
#include "keeper/parked.h"
#include "keeper/record.h"
#include "keeper/run.h"

#include <errno.h>

typedef struct QueueHead {
    uint32_t type, len;
} QueueHead;

void stream_land(Stream *stream)
{
    if (stream->decided.ticket.limit)
        limits_end(&stream->upstream->limits, &stream->decided.ticket);
}

/* The provider counts a query also when nobody waits for its answer. */
static void land_untold(Stream *stream)
{
    if (stream->unpriced)
        budget_spend_untold(&stream->grant->budget);
    stream->unpriced = false;
    stream_land(stream);
}

void stream_free(Stream *stream)
{
    record_left(stream);
    land_untold(stream);
    request_drop_conn(stream);
    if (stream->upstream && stream->upstream->held)
        held_forget_waiter(stream->upstream->held, stream);
    stream_watch_gate(stream, false);
    if (stream->writing)
        event_del(&stream->to_gate);
    if (stream->state == STREAM_REFUSED)
        TAILQ_REMOVE(&stream->keeper->refused, stream, turn_link);
    if (stream->state == STREAM_RECORDED)
        TAILQ_REMOVE(&stream->keeper->recorded, stream, turn_link);
    if (stream->state == STREAM_HELD)
        hold_forget(stream);
    if (stream->parked)
        parked_forget(stream->keeper->parked, stream);
    run_forget_stream(stream->run, stream);
    fd_close(&stream->gate.fd);
    buf_done(&stream->gathered);
    buf_done(&stream->head);
    buf_done(&stream->out);
    buf_done(&stream->partial);
    buf_done(&stream->queue);
    scrub_free(stream->scrub);
    mem_free(stream);
}

void stream_watch_gate(Stream *stream, bool on)
{
    if (stream->reading != on)
        on ? event_add(&stream->from_gate, NULL) : event_del(&stream->from_gate);
    stream->reading = on;
}

bool stream_blocked(const Stream *stream)
{
    return stream->queue.len > 0;
}

static void watch_room(Stream *stream)
{
    if (!stream->writing)
        event_add(&stream->to_gate, NULL);
    stream->writing = true;
}

static int enqueue(Stream *stream, uint16_t type, Slice payload)
{
    QueueHead head = {type, (uint32_t)payload.len};
    int r = buf_append(&stream->queue, &head, sizeof(head));
    return r ? r : buf_append_slice(&stream->queue, payload);
}

int stream_send(Stream *stream, uint16_t type, Slice payload)
{
    bool waits = stream->parked || stream->queue.len;
    int r = waits ? -EAGAIN : ipc_send(&stream->gate, type, payload, NULL, 0);
    if (r != -EAGAIN)
        return r;
    r = enqueue(stream, type, payload);
    if (r == 0 && !stream->parked)
        watch_room(stream);
    return r;
}

/* 0 when all of it went out. */
static int flush_queue(Stream *stream)
{
    size_t at = 0;
    int r = 0;
    while (at < stream->queue.len) {
        QueueHead head;
        memcpy(&head, stream->queue.data + at, sizeof(head));
        Slice payload = {stream->queue.data + at + sizeof(head), head.len};
        r = ipc_send(&stream->gate, (uint16_t)head.type, payload, NULL, 0);
        if (r)
            break;
        at += sizeof(head) + head.len;
    }
    buf_consume(&stream->queue, at);
    return r;
}

static void on_gate_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Stream *stream = context;
    int r = flush_queue(stream);
    if (r == -EAGAIN)
        return;
    if (r) {
        stream_free(stream);
        return;
    }
    buf_done(&stream->queue); /* a reader that was slow once does not keep memory */
    event_del(&stream->to_gate);
    stream->writing = false;
    if (stream->state == STREAM_ANSWER && stream->conn) {
        stream->deadline = clock_mono() + STREAM_ANSWER_US;
        conn_watch_read(stream->conn, true);
        stream_readable(stream); /* what OpenSSL holds already makes no event */
    }
}

/* What waits in the queue goes out, or waits for room. False: the stream is gone. */
static bool send_queue(Stream *stream)
{
    int r = flush_queue(stream);
    if (r == -EAGAIN) {
        watch_room(stream);
    } else if (r) {
        stream_free(stream);
        return false;
    }
    return true;
}

/* The head goes before what has been queued behind it. */
static int send_head_first(Stream *stream, Slice payload)
{
    int r = ipc_send(&stream->gate, IPC_RESPONSE, payload, NULL, 0);
    if (r != -EAGAIN)
        return r;
    CLEANUP_BUF Buf behind = stream->queue;
    stream->queue = BUF_INIT(STREAM_MAX_QUEUE);
    r = enqueue(stream, IPC_RESPONSE, payload);
    return r ? r : buf_append_slice(&stream->queue, buf_slice(&behind));
}

void stream_release(Stream *stream, Slice payload, int error)
{
    stream->parked = false;
    if (error && keeper_is_mute(stream->keeper)) {
        Refused refused;
        refused_set(&refused, REFUSAL_AUDIT, "the answer could not be recorded, so it is not given: %s",
                    strerror(-error));
        buf_reset(&stream->queue);
        stream_refuse(stream, &refused);
    } else if (send_head_first(stream, payload) != 0) {
        stream_free(stream);
    } else if (send_queue(stream)) {
        answer_go_on(stream);
    }
}

void stream_answered(Stream *stream)
{
    stream->deadline = 0;
    stream->state = stream->body_open ? STREAM_DRAINING : STREAM_IDLE;
    stream_watch_gate(stream, true);
}

void stream_say(Stream *stream, uint16_t type, Slice payload)
{
    if (enqueue(stream, type, payload) != 0) {
        stream_free(stream);
        return;
    }
    stream->deadline = 0;
    stream->state = STREAM_REFUSED;
    stream_watch_gate(stream, true);
    TAILQ_INSERT_TAIL(&stream->keeper->refused, stream, turn_link);
}

void stream_refuse(Stream *stream, const Refused *refused)
{
    const RefusalKind *kind = refusal_kind(refused->refusal);
    unsigned char room[2048];
    WireWriter wire = WIRE_WRITER(room);
    StreamRefuse refuse = {
        kind->status, slice_of(kind->code), slice_of(refused->fault.text), refused->retry_after,
        false,        stream->graphql};
    stream_refuse_put(&refuse, &wire);
    record_refusal(stream, refused);
    land_untold(stream);
    request_drop_conn(stream);
    if (wire.failed)
        stream_free(stream);
    else
        stream_say(stream, IPC_REFUSE, (Slice){(const char *)room, wire.len});
}

void stream_flush_refusal(Stream *stream)
{
    TAILQ_REMOVE(&stream->keeper->refused, stream, turn_link);
    stream_answered(stream);
    (void)send_queue(stream);
}

void stream_abort(Stream *stream, const Refused *refused)
{
    record_refusal(stream, refused);
    stream_land(stream);
    request_drop_conn(stream);
    if (stream_send(stream, IPC_ABORT, (Slice){"", 0}) != 0)
        stream_free(stream);
    else
        stream_answered(stream);
}

void stream_end(Stream *stream, const Refused *refused)
{
    if (stream->state == STREAM_RECORDED)
        TAILQ_REMOVE(&stream->keeper->recorded, stream, turn_link);
    if (stream->state == STREAM_HELD)
        hold_forget(stream);
    if (stream->state == STREAM_ASKING) /* what the store says is nothing to it any more */
        held_forget_waiter(stream->upstream->held, stream);
    if (stream->state == STREAM_GATHERING || stream->state == STREAM_HELD ||
        stream->state == STREAM_RECORDED || stream->state == STREAM_DIALING ||
        stream->state == STREAM_ASKING || stream->state == STREAM_WAITING)
        stream_refuse(stream, refused);
    else if (stream->state == STREAM_ANSWER)
        stream_abort(stream, refused);
}

static void drop_body(Stream *stream, Slice payload)
{
    (void)payload;
    (void)stream;
}

static void drop_end(Stream *stream, Slice payload)
{
    (void)payload;
    stream->body_open = false;
    if (stream->state == STREAM_DRAINING)
        stream->state = STREAM_IDLE;
}

static void gather_more(Stream *stream, Slice payload)
{
    gather_body(stream, payload, false);
}

static void gather_end(Stream *stream, Slice payload)
{
    gather_body(stream, payload, true);
}

static void pass_body(Stream *stream, Slice payload)
{
    request_body(stream, payload, false);
}

static void pass_end(Stream *stream, Slice payload)
{
    request_body(stream, payload, true);
}

typedef void RecordHandler(Stream *stream, Slice payload);

/* What a record means in a state; an empty place: a gate that sends it is broken, and the stream ends. */
static RecordHandler *const handlers[STREAM_STATES][4] = {
    /*                     REQUEST        BODY       BODY_END  LEASE_ASK */
    [STREAM_IDLE] = {request_begin, NULL, NULL, lease_asked},
    [STREAM_REFUSED] = {NULL, drop_body, drop_end},
    [STREAM_GATHERING] = {NULL, gather_more, gather_end},
    [STREAM_RECORDED] = {NULL, NULL, NULL}, /* ends with the turn: nothing is read meanwhile */
    [STREAM_HELD] = {NULL, NULL, NULL},
    [STREAM_DIALING] = {NULL, NULL, NULL},
    [STREAM_ASKING] = {NULL, NULL, NULL},
    [STREAM_WAITING] = {NULL, pass_body, pass_end},
    [STREAM_ANSWER] = {NULL, pass_body, pass_end},
    [STREAM_DRAINING] = {request_begin, drop_body,
                         drop_end}, /* a client that was refused before it sent its body */
};

static void on_gate_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    static unsigned char room[IPC_MAX_RECORD] __attribute__((aligned(16)));
    Stream *stream = context;
    IpcRecord record;
    int r = ipc_recv(&stream->gate, room, &record);
    if (r == -EAGAIN)
        return;
    unsigned kind = r == 0 ? (unsigned)record.type - IPC_REQUEST : 0;
    RecordHandler *handler = r == 0 && kind < 4 ? handlers[stream->state][kind] : NULL;
    bool is_body = r == 0 && (record.type == IPC_BODY || record.type == IPC_BODY_END);
    if (!handler || (is_body && (!stream->body_open || record.payload.len > STREAM_PIECE))) {
        if (r == -ECONNRESET)
            stream_free(stream);
        else
            run_distrust(stream->run);
        return;
    }
    handler(stream, record.payload);
}

Stream *stream_new(Run *run, int fd)
{
    if (io_set_nonblocking(fd) != 0) {
        fd_close(&fd);
        return NULL;
    }
    Stream *stream = MEM_NEW(Stream);
    *stream = (Stream){.keeper = run->keeper,
                       .run = run,
                       .gate = {fd, IPC_KEEPER, IPC_GATE, IPC_OPEN},
                       .head = BUF_INIT(HTTP_MAX_HEAD + (16u << 10)),
                       .out = BUF_INIT(GRAPHQL_MAX_BODY),
                       .gathered = BUF_INIT(GRAPHQL_MAX_BODY),
                       .partial = BUF_INIT(HTTP_MAX_HEAD),
                       .queue = BUF_INIT(STREAM_MAX_QUEUE),
                       .scrub = scrub_new()};
    event_assign(&stream->from_gate, run->keeper->base, fd, EV_READ | EV_PERSIST, on_gate_readable, stream);
    event_assign(&stream->to_gate, run->keeper->base, fd, EV_WRITE | EV_PERSIST, on_gate_writable, stream);
    stream_watch_gate(stream, true);
    return stream;
}

void stream_tick(Stream *stream, int64_t now)
{
    if (stream->deadline == 0 || now < stream->deadline)
        return;
    if (stream->state == STREAM_WAITING && !stream->seen)
        stream->may_retry = false;
    if (stream->state == STREAM_WAITING || stream->state == STREAM_ANSWER)
        request_lost(stream, REFUSAL_UPSTREAM_TIMEOUT, "has not answered for a minute");
}
