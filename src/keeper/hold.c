/* Requests that wait for a token's successor. See hold.h. */
#include "keeper/hold.h"

#include "base/clock.h"
#include "base/log.h"
#include "ipc/keeper.h"
#include "keeper/run.h"
#include "keeper/setup.h"

#include <errno.h>

bool hold_takes(Stream *stream)
{
    Keeper *keeper = stream->keeper;
    const Held *held = stream->upstream->held;
    Refused refused;
    if (!held || !held->hold.until || stream->endpoint->use == HOST_ARTIFACT)
        return false;
    if (keeper->n_holding == KEEPER_MAX_HOLDING) {
        refused_set(
            &refused, REFUSAL_BUSY,
            "the token of source %s is being replaced, and as many requests wait for that as purser keeps",
            stream->upstream->source.name);
        refused.retry_after = 1;
        stream_refuse(stream, &refused);
        return true;
    }
    stream->state = STREAM_HELD;
    stream->deadline = 0;
    stream_watch_gate(stream, !stream->body_open);
    keeper->n_holding++;
    TAILQ_INSERT_TAIL(&keeper->holding, stream, turn_link);
    return true;
}

void hold_forget(Stream *stream)
{
    stream->keeper->n_holding--;
    TAILQ_REMOVE(&stream->keeper->holding, stream, turn_link);
}

/* Those that wait are taken off the list first: one that goes up may be refused, and ask to wait again. */
static void let_go(Held *held)
{
    Keeper *keeper = held->keeper;
    Stream *stream, *next;
    held->hold.until = 0;
    held_hold_ended(held);
    for (stream = TAILQ_FIRST(&keeper->holding); stream; stream = next) {
        next = TAILQ_NEXT(stream, turn_link);
        if (stream->upstream->held != held)
            continue;
        hold_forget(stream);
        stream->state = STREAM_IDLE;
        request_go_up(stream);
    }
}

/* Streams whose request went up, and that no answer came to yet. `other`: with another token than the one in
 * use. */
static bool any_under_way(const Held *held, bool other)
{
    const Run *run;
    const Stream *stream;
    TAILQ_FOREACH(run, &held->keeper->runs, link)
    TAILQ_FOREACH(stream, &run->streams, link)
    {
        if (!stream->upstream || stream->upstream->held != held)
            continue;
        bool waits = stream->state == STREAM_WAITING || (stream->state == STREAM_DIALING && !other);
        if (waits && (!other || stream->live != stream->upstream->live))
            return true;
    }
    return false;
}

static void say(Keeper *keeper, uint16_t type, uint32_t source, bool well)
{
    unsigned char room[16];
    WireWriter wire = WIRE_WRITER(room);
    wire_put_u32(&wire, source);
    wire_put_u8(&wire, well);
    if (setup_tell(keeper, type, (Slice){(const char *)room, wire.len}) != 0)
        log_error("the supervisor does not listen");
}

static void begin_hold(Held *held, uint32_t source)
{
    held->hold.until = clock_mono() + HOLD_MOST_US;
    held->hold.drain_by = clock_mono() + HOLD_DRAIN_US;
    held->hold.source = source;
    held->hold.says_held = true;
}

static void begin_read(Held *held, uint32_t source)
{
    held->hold.drain_by = clock_mono() + HOLD_DRAIN_US;
    held->hold.source = source;
    held->hold.read = HOLD_READS;
    held_read_now(held);
}

int hold_take_record(Keeper *keeper, uint16_t type, Slice payload)
{
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    uint32_t source = wire_get_u32(&wire);
    if (wire_finish(&wire) || source >= keeper->n_upstream)
        return -EPROTO;
    Held *held = keeper->upstream[source].held;
    if (!held) /* nothing of this process uses it */
        say(keeper, type == IPC_KEEPER_HOLD ? IPC_KEEPER_HELD : IPC_KEEPER_WAS_READ, source, true);
    else if (type == IPC_KEEPER_HOLD)
        begin_hold(held, source);
    else if (type == IPC_KEEPER_READ)
        begin_read(held, source);
    else if (held->hold.until)
        let_go(held);
    return 0;
}

void hold_was_read(Held *held, bool well)
{
    if (held->hold.read == HOLD_READS)
        held->hold.read = well ? HOLD_WAS_READ : HOLD_NOT_READ;
}

static void settle(Held *held, int64_t now)
{
    Hold *hold = &held->hold;
    bool late = now >= hold->drain_by;
    if (hold->until && now >= hold->until) {
        log_warning("the token of source %s was not replaced within %ld s: its requests go on",
                    held->keeper->upstream[hold->source].source.name, HOLD_MOST_US / CLOCK_SECOND);
        let_go(held);
    }
    if (hold->says_held && (late || !any_under_way(held, false))) {
        hold->says_held = false;
        say(held->keeper, IPC_KEEPER_HELD, hold->source, true);
    }
    bool read = hold->read == HOLD_WAS_READ;
    if (hold->read == HOLD_NOT_READ || (read && !any_under_way(held, true)) || (hold->read && late)) {
        hold->read = HOLD_RESTS;
        say(held->keeper, IPC_KEEPER_WAS_READ, hold->source, read);
    }
}

void hold_turn(Keeper *keeper)
{
    Held *held;
    int64_t now = 0;
    TAILQ_FOREACH(held, &keeper->held, link)
    {
        if (!held->hold.until && !held->hold.says_held && !held->hold.read)
            continue;
        now = now ? now : clock_mono();
        settle(held, now);
    }
}
