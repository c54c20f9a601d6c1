/* The gate's control channel to the keeper. See keeper-link.h. */
#include "gate/keeper-link.h"

#include "base/clock.h"
#include "gate/client.h"

#include <errno.h>
#include <poll.h>

#define REFUSED_WAIT_MS 1000

static const char keeper_gone[] = "the keeper ended while this run was using it; its own message says why";

static void take_lease(Gate *gate, const IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    LeaseRecord lease;
    if (lease_record_get(&wire, &lease))
        return;
    for (size_t i = 0; i < gate->n_source; i++) {
        RunSourceInfo *source = &gate->source[i];
        if (source->record.index == lease.source && lease.text.len >= LEASE_ID_LEN) {
            memcpy(source->lease_id, lease.text.ptr, LEASE_ID_LEN);
            runner_take_lease(gate, i, lease.text);
        }
    }
}

static void take_tunnel(Gate *gate, IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    TunnelRefused answer;
    if (!tunnel_refused_get(&wire, &answer))
        tunnel_answer(gate, &answer, record->type == IPC_TUNNEL_OPEN ? ipc_record_take(record, 0) : -1);
}

static void keeper_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    Gate *gate = arg;
    IpcRecord record;
    int r;
    while (!(r = ipc_recv(&gate->keeper, gate->record, &record))) {
        if (record.type == IPC_LEASE)
            take_lease(gate, &record);
        else if (record.type == IPC_LEASES_END)
            runner_leases_end(gate);
        else
            take_tunnel(gate, &record);
        ipc_record_close(&record);
    }
    if (r == -EAGAIN)
        return;
    event_del(gate->keeper_event);
    fd_close(&gate->keeper.fd);
    for (size_t i = 0; i < GATE_MAX_CLIENTS; i++)
        if (gate->client[i])
            client_keeper_gone(gate->client[i]);
    /* Once the script is over the keeper ends the run's leases by closing this; the results are still on
     * their way. */
    if (!gate->runner.finished)
        gate_end(gate, keeper_gone);
}

void keeper_link_open(Gate *gate)
{
    gate->keeper =
        (IpcPeer){.fd = gate->fd[GATE_FD_KEEPER], .self = IPC_GATE, .other = IPC_KEEPER, .stage = IPC_OPEN};
    gate->keeper_event = event_new(gate->base, gate->keeper.fd, EV_READ | EV_PERSIST, keeper_readable, gate);
    event_add(gate->keeper_event, NULL);
}

int keeper_link_stream(Gate *gate, int *ret_fd)
{
    int pair[2];
    int r = gate->keeper.fd < 0 ? -ECONNRESET : ipc_pair(true, pair);
    if (r)
        return r;
    r = ipc_send(&gate->keeper, IPC_CONNECTION, (Slice){"", 0}, &pair[1], 1);
    fd_close(&pair[1]);
    if (r)
        fd_close(&pair[0]);
    else
        *ret_fd = pair[0];
    return r;
}

int keeper_link_tunnel(Gate *gate, const TunnelRecord *tunnel)
{
    unsigned char room[1024];
    WireWriter wire = WIRE_WRITER(room);
    tunnel_put(tunnel, &wire);
    return gate->keeper.fd < 0 ? -ECONNRESET
                               : ipc_send_wire(&gate->keeper, IPC_TUNNEL_WANTED, &wire, NULL, 0);
}

int keeper_link_leases(Gate *gate)
{
    return ipc_send(&gate->keeper, IPC_LEASES_WANTED, (Slice){"", 0}, NULL, 0);
}

void keeper_link_refused(Gate *gate, const RunRefusal *refusal)
{
    unsigned char room[16384];
    WireWriter wire = WIRE_WRITER(room);
    run_refusal_put(refusal, &wire);
    if (gate->keeper.fd < 0)
        return;
    if (ipc_send_wire(&gate->keeper, IPC_GATE_REFUSED, &wire, NULL, 0) != -EAGAIN)
        return;
    struct pollfd room_made = {.fd = gate->keeper.fd, .events = POLLOUT};
    if (poll(&room_made, 1, REFUSED_WAIT_MS) == 1) {
        int lost = ipc_send_wire(&gate->keeper, IPC_GATE_REFUSED, &wire, NULL, 0);
        (void)lost;
    }
}
