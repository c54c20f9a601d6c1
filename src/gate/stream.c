/* A client's stream to the keeper: a socket pair of its own, made with the first request and kept. See
 * client.h. */
#include "gate/client.h"
#include "gate/keeper-link.h"

#include <errno.h>

static void stream_woken(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    Client *client = arg;
    if (what & EV_READ)
        client->stream_readable = true;
    if (client->state == CLIENT_EXCHANGE) {
        client_run(client);
        return;
    }
    /* Between requests the keeper says nothing but its end. */
    IpcRecord record;
    int r = client_stream_recv(client, client->gate->record, &record);
    if (r != -EAGAIN)
        client_stream_close(client);
}

static int stream_open(Client *client)
{
    int fd;
    int r = keeper_link_stream(client->gate, &fd);
    if (r)
        return r;
    client->stream = (IpcPeer){.fd = fd, .self = IPC_GATE, .other = IPC_KEEPER, .stage = IPC_OPEN};
    client->stream_readable = false;
    struct event_base *base = client->gate->base;
    event_assign(&client->stream_read, base, fd, EV_READ | EV_ET | EV_PERSIST, stream_woken, client);
    event_assign(&client->stream_write, base, fd, EV_WRITE | EV_ET, stream_woken, client);
    event_add(&client->stream_read, NULL);
    return 0;
}

int client_stream_send(Client *client, uint16_t type, Slice payload)
{
    int r = -ECONNRESET;
    if (client->stream.fd >= 0)
        r = ipc_send(&client->stream, type, payload, NULL, 0);
    if ((type == IPC_REQUEST || type == IPC_LEASE_ASK) && (r == -ECONNRESET || r == -EPIPE)) {
        client_stream_close(client);
        r = stream_open(client);
        if (!r)
            r = ipc_send(&client->stream, type, payload, NULL, 0);
    }
    if (r == -EAGAIN && client->stream.fd >= 0)
        event_add(&client->stream_write, NULL);
    return r;
}

int client_stream_recv(Client *client, void *room, IpcRecord *ret_record)
{
    if (!client->stream_readable)
        return -EAGAIN;
    int r = ipc_recv(&client->stream, room, ret_record);
    if (r == -EAGAIN)
        client->stream_readable = false;
    return r;
}

void client_stream_close(Client *client)
{
    if (client->stream.fd < 0)
        return;
    event_del(&client->stream_read);
    event_del(&client->stream_write);
    fd_close(&client->stream.fd);
    client->stream_readable = false;
}
