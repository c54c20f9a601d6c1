/* A request that is with the keeper: its body goes up, its answer comes down, each as far as it can. See
 * client.h. */
#include "gate/client.h"
#include "gate/refuse.h"

#include <errno.h>

static char pieces[STREAM_PIECE]; /* decoded chunks, put together */

static int decode_chunks(Exchange *exchange, Slice *input, size_t most, Slice *ret_piece)
{
    size_t n = 0;
    if (most > sizeof(pieces))
        most = sizeof(pieces);
    while (n < most) {
        Slice part, before = *input;
        /* No more than there is room for: the reader takes the input's front. */
        Slice window = {before.ptr, before.len < most - n ? before.len : most - n};
        int r = chunk_read(&exchange->chunk, &window, &part);
        input->len -= (size_t)(window.ptr - before.ptr);
        input->ptr = window.ptr;
        if (r == CHUNK_E_BAD)
            return -EBADMSG;
        if (r == 0) {
            memcpy(pieces + n, part.ptr, part.len);
            n += part.len;
        }
        exchange->up_last = r == CHUNK_E_END;
        if (r == CHUNK_E_END || input->len == 0)
            break;
    }
    *ret_piece = (Slice){pieces, n};
    return 0;
}

int exchange_piece(Exchange *exchange, Slice *input, size_t most, Slice *ret_piece)
{
    *ret_piece = (Slice){"", 0};
    if (exchange->up_last)
        return 0;
    if (exchange->up == HTTP_CHUNKED)
        return decode_chunks(exchange, input, most, ret_piece);
    size_t n = input->len < most ? input->len : most;
    if (n > exchange->up_left)
        n = (size_t)exchange->up_left;
    *ret_piece = (Slice){input->ptr, n};
    input->ptr += n;
    input->len -= n;
    exchange->up_left -= n;
    exchange->up_last = exchange->up_left == 0;
    return 0;
}

static void broken_body(Client *client)
{
    if (client->exchange.head_sent) {
        client_drop(client, true);
        return;
    }
    const Refusal refusal = {400, "bad-request", "the request's chunks are broken", .close = true};
    refuse_recorded(client, NULL, client->authority, &refusal);
}

/* One piece of the body from what was read. 0: sent; -EAGAIN: the keeper is busy, the piece waits in
 * client->body; -ENOMSG: more must be read. */
static int send_piece(Client *client)
{
    Exchange *exchange = &client->exchange;
    Slice piece = buf_slice(&client->body), input = buf_slice(&client->conn.in);
    size_t before = input.len;
    if (piece.len == 0) {
        int r = exchange_piece(exchange, &input, STREAM_PIECE, &piece);
        if (r)
            return r;
        if (piece.len == 0 && !exchange->up_last) {
            buf_consume(&client->conn.in, before - input.len);
            return -ENOMSG;
        }
    }
    int r = client_stream_send(client, exchange->up_last ? IPC_BODY_END : IPC_BODY, piece);
    if (r == -EAGAIN && client->body.len == 0)
        r = buf_append_slice(&client->body, piece) ? -ENOBUFS : -EAGAIN;
    else if (!r)
        buf_reset(&client->body);
    buf_consume(&client->conn.in, before - input.len);
    exchange->up_done = !r && exchange->up_last;
    return r;
}

static void go_up(Client *client)
{
    while (client->state == CLIENT_EXCHANGE && !client->exchange.up_done) {
        int r = send_piece(client);
        if (r == -ENOMSG) {
            r = conn_fill(&client->conn, CONN_MAX_IN);
            if (r == -ENODATA) /* half a request */
                r = -ECONNABORTED;
        }
        if (r == -EAGAIN)
            return;
        if (r == -EBADMSG)
            broken_body(client);
        else if (r == -EPIPE || r == -ECONNRESET)
            response_cut_off(client);
        else if (r)
            client_drop(client, true);
        else
            client_extend(client);
    }
}

static void go_down(Client *client)
{
    static char room[RESPONSE_FRONT + IPC_MAX_RECORD + RESPONSE_BACK];
    while (client->state == CLIENT_EXCHANGE && client->conn.out.len == 0) {
        IpcRecord record;
        int r = client_stream_recv(client, room + RESPONSE_FRONT, &record);
        if (r == -EAGAIN)
            return;
        client_extend(client);
        if (r)
            response_cut_off(client);
        else
            response_take(client, &record);
    }
}

bool exchange_step(Client *client)
{
    int r = client_flush(client);
    if (r && r != -EAGAIN) {
        client_drop(client, true);
        return true;
    }
    go_down(client);
    go_up(client);
    return client->state != CLIENT_EXCHANGE;
}
