/* The results channel. See results.h. */
#include "gate/results.h"

#include "base/mem.h"
#include "gate/gate.h"

#include <errno.h>

static const struct timeval retry_after = {.tv_usec = 20000};

static void close_channel(Results *results)
{
    event_del(results->read_event);
    event_del(results->write_event);
    event_del(results->retry_event);
    fd_close(&results->peer.fd);
    for (; results->n; results->n--, results->first = (results->first + 1) % RESULTS_MAX) {
        WaitingResult *waiting = &results->waiting[results->first];
        fd_close(&waiting->fd);
        mem_free(STEAL(waiting->payload));
    }
}

/* A clerk that is gone will not say it: the runner must not wait for its word. */
static void tell_lost(Gate *gate)
{
    Results *results = &gate->results;
    if (results->peer.fd >= 0 || !results->ended || results->said)
        return;
    results->said = true;
    RunLoaded loaded = {.result = RUN_LOAD_FAILED, .sentence = slice_of("purser's own lines say why.")};
    runner_loaded(gate, &loaded);
}

static int send_one(Results *results, uint16_t type, Slice payload, int fd)
{
    return ipc_send(&results->peer, type, payload, &fd, fd >= 0 ? 1 : 0);
}

static void writable(evutil_socket_t unused, short what, void *arg)
{
    (void)unused, (void)what;
    Gate *gate = arg;
    Results *results = &gate->results;
    while (results->n) {
        WaitingResult *waiting = &results->waiting[results->first];
        int r = send_one(results, waiting->type, (Slice){waiting->payload, waiting->len}, waiting->fd);
        if (r == -EAGAIN || r == -ETOOMANYREFS) {
            if (r == -EAGAIN)
                event_add(results->write_event, NULL);
            else /* too many descriptors on their way: the clerk is given a moment to take some */
                event_add(results->retry_event, &retry_after);
            break;
        }
        if (r) {
            close_channel(results);
            tell_lost(gate);
            return;
        }
        fd_close(&waiting->fd);
        mem_free(STEAL(waiting->payload));
        results->first = (results->first + 1) % RESULTS_MAX;
        results->n--;
    }
    runner_resume(gate);
}

bool results_full(const Gate *gate)
{
    return gate->results.n == RESULTS_MAX;
}

void results_send(Gate *gate, uint16_t type, Slice payload, int fd)
{
    CLEANUP_FD int owned = fd;
    Results *results = &gate->results;
    results->ended |= type == IPC_RUN_END;
    tell_lost(gate);
    if (results->peer.fd < 0 || results_full(gate) || payload.len > RESULTS_PAYLOAD)
        return;
    int r = results->n ? -EAGAIN : send_one(results, type, payload, owned);
    if (r == -EAGAIN || r == -ETOOMANYREFS) {
        size_t last = (results->first + results->n++) % RESULTS_MAX;
        results->waiting[last] = (WaitingResult){.type = type,
                                                 .len = (uint16_t)payload.len,
                                                 .fd = fd_steal(&owned),
                                                 .payload = mem_dup(payload.ptr, payload.len)};
        if (results->n == 1)
            writable(-1, 0, gate);
    } else if (r) {
        close_channel(results);
        tell_lost(gate);
    }
}

void results_pass_on(Gate *gate)
{
    Results *results = &gate->results;
    IpcRecord record;
    int r = -EAGAIN;
    while (results->peer.fd >= 0 && !(r = ipc_recv(&results->peer, gate->record, &record))) {
        RunLoaded loaded;
        WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
        if (record.type == IPC_LOADED && !run_loaded_get(&wire, &loaded)) {
            results->said = loaded.result != RUN_LOAD_AGAIN;
            runner_loaded(gate, &loaded);
        }
        ipc_record_close(&record);
    }
    if (r != -EAGAIN && results->peer.fd >= 0) {
        close_channel(results);
        tell_lost(gate);
    }
}

static void readable(evutil_socket_t unused, short what, void *arg)
{
    (void)unused, (void)what;
    results_pass_on(arg);
}

void results_open(Gate *gate)
{
    Results *results = &gate->results;
    int fd = gate->fd[GATE_FD_RESULTS];
    results->peer = (IpcPeer){.fd = fd, .self = IPC_GATE, .other = IPC_CLERK, .stage = IPC_OPEN};
    results->waiting = MEM_NEW_ARRAY(WaitingResult, RESULTS_MAX);
    results->read_event = event_new(gate->base, fd, EV_READ | EV_PERSIST, readable, gate);
    results->write_event = event_new(gate->base, fd, EV_WRITE, writable, gate);
    results->retry_event = event_new(gate->base, -1, 0, writable, gate);
    event_add(results->read_event, NULL);
}
