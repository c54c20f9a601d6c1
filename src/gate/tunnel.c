/* A tunnel to an egress host: bytes to and fro, untouched, with bounded buffers; each direction ends by
 * itself. */
#include "gate/client.h"
#include "gate/refuse.h"

#include <errno.h>

#define TUNNEL_PIECE (16u << 10)

void tunnel_answer(Gate *gate, const TunnelRefused *answer, int fd)
{
    CLEANUP_FD int far = fd;
    for (size_t i = 0; i < GATE_MAX_CLIENTS; i++) {
        Client *client = gate->client[i];
        if (!client || client->state != CLIENT_TUNNEL_WAIT || client->tunnel != answer->id)
            continue;
        if (far < 0) {
            const Refusal refusal = {answer->status, answer->code, answer->sentence, .close = true};
            refuse(client, &refusal);
        } else if (conn_write(&client->conn, SLICE_LITERAL("HTTP/1.1 200 Connection established\r\n\r\n"))) {
            client_drop(client, true);
        } else {
            client_open_far(client, fd_steal(&far));
            client_become(client, CLIENT_TUNNEL);
        }
        client_run(client);
        return;
    }
}

/* One direction, as far as it goes. 0: waiting; 1: this direction is over. */
static int relay(Client *client, Conn *from, Conn *to)
{
    for (;;) {
        int r = conn_flush(to);
        if (!r && from->in.len == 0 && !from->eof) {
            r = conn_fill(from, TUNNEL_PIECE);
            if (r == -ENODATA)
                r = 0;
        }
        if (r)
            return r == -EAGAIN ? 0 : r;
        if (from->in.len == 0) {
            if (!to->shut)
                conn_shutdown(to);
            return 1;
        }
        r = conn_write(to, buf_slice(&from->in));
        buf_reset(&from->in);
        client_extend(client);
        if (r)
            return r;
    }
}

bool tunnel_step(Client *client)
{
    int up = relay(client, &client->conn, &client->far), down = relay(client, &client->far, &client->conn);
    if (up < 0 || down < 0)
        client_drop(client, true);
    else if (up == 1 && down == 1)
        client_drop(client, false);
    return client->state == CLIENT_GONE;
}
