/* A client connection's life. See client.h. */
#include "gate/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gate/keeper-link.h"
#include "gate/refuse.h"

#include <errno.h>
#include <openssl/err.h>

#define SECONDS(n) ((int64_t)(n)*CLOCK_SECOND)
#define LINGER_MAX (4u << 20) /* bytes that a client may still send after its answer */

static bool step_handshake(Client *client);
static bool step_last(Client *client);
static bool step_linger(Client *client);
static bool step_wait(Client *client);
static void late_head(Client *client);
static void late_exchange(Client *client);
static void late_tunnel(Client *client);
static void late(Client *client);

static const struct {
    bool (*step)(Client *client);
    int64_t time; /* us without progress */
    void (*late)(Client *client);
} states[CLIENT_STATES] = {
    [CLIENT_HEAD] = {request_step_head, SECONDS(75), late_head},
    [CLIENT_HANDSHAKE] = {step_handshake, SECONDS(15), late},
    [CLIENT_EXCHANGE] = {exchange_step, SECONDS(60), late_exchange},
    [CLIENT_TUNNEL_WAIT] = {step_wait, SECONDS(60), late_tunnel},
    [CLIENT_TUNNEL] = {tunnel_step, SECONDS(900), late},
    [CLIENT_LAST] = {step_last, SECONDS(60), late},
    [CLIENT_LINGER] = {step_linger, SECONDS(5), late},
};

void client_extend(Client *client)
{
    client->deadline = clock_mono() + states[client->state].time;
}

void client_become(Client *client, ClientState state)
{
    client->state = state;
    if (state == CLIENT_HEAD) {
        client->scanned = 0;
        client->exchange = (Exchange){.keep_alive = true, .up_done = true};
    }
    if (state != CLIENT_GONE)
        client_extend(client);
}

void client_drop(Client *client, bool broken)
{
    client_stream_close(client);
    conn_close(&client->conn, broken);
    conn_close(&client->far, broken);
    client_become(client, CLIENT_GONE);
}

void client_finish(Client *client)
{
    client_stream_close(client);
    client_become(client, CLIENT_LAST);
}

int client_flush(Client *client)
{
    size_t waiting = client->conn.out.len;
    int r = conn_flush(&client->conn);
    if (client->conn.out.len < waiting)
        client_extend(client);
    return r;
}

static bool step_last(Client *client)
{
    int r = client_flush(client);
    if (r == -EAGAIN)
        return false;
    if (r) {
        client_drop(client, true);
        return true;
    }
    conn_shutdown(&client->conn);
    client->exchange.down_left = LINGER_MAX;
    client_become(client, CLIENT_LINGER);
    return true;
}

/* Waits for the client to close: closing at once would reset the connection under an answer that was not read
 * yet. */
static bool step_linger(Client *client)
{
    Conn *conn = &client->conn;
    size_t dropped = 0;
    int r = conn_drain(conn, client->exchange.down_left, &dropped);
    client->exchange.down_left -= dropped < client->exchange.down_left ? dropped : client->exchange.down_left;
    if (r != -EAGAIN)
        client_drop(client, false);
    return client->state == CLIENT_GONE;
}

static bool step_wait(Client *client)
{
    int r = conn_flush(&client->conn);
    if (r && r != -EAGAIN)
        client_drop(client, true);
    return client->state == CLIENT_GONE;
}

/* Why a handshake failed, in words that help: nearly always the script does not know the run's CA. */
static void record_handshake(Client *client)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    const char *name =
        client->conn.ssl ? SSL_get_servername(client->conn.ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    const char *host = client->authority;
    Fault why;
    if (name && !slice_equal_nocase(slice_of(name), slice_of(host))) {
        fault_set(&why, 0, "TLS asked for %s in a CONNECT to %s; the two must be the same", name, host);
        refuse_record(client, "CONNECT", host, (Slice){"", 0}, "host-mismatch", why.text);
    } else if (reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
               reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN) {
        fault_set(&why, 0,
                  "the client does not trust the run's certificate for %s: have it read SSL_CERT_FILE, "
                  "REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or NODE_EXTRA_CA_CERTS, or use the base URL",
                  host);
        refuse_record(client, "CONNECT", host, (Slice){"", 0}, "tls-untrusted", why.text);
    } else if (error) {
        const char *text = ERR_reason_error_string(error);
        fault_set(&why, 0, "TLS with the client failed (%s); TLS 1.2 or 1.3 and HTTP/1.1 are spoken here",
                  text ? text : "unknown reason");
        refuse_record(client, "CONNECT", host, (Slice){"", 0}, "tls-failed", why.text);
    }
}

static bool step_handshake(Client *client)
{
    int r = conn_flush(&client->conn);
    if (!r && !client->conn.ssl)
        r = conn_start_tls(&client->conn, client->host->tls_context, client->authority);
    if (!r)
        r = conn_handshake(&client->conn);
    if (r == -EAGAIN)
        return false;
    if (r) {
        if (r == -EPROTO)
            record_handshake(client);
        client_drop(client, false);
    } else {
        client_become(client, CLIENT_HEAD);
    }
    return true;
}

static void late(Client *client)
{
    client_drop(client, client->state != CLIENT_LINGER);
}

static void late_head(Client *client)
{
    if (client->conn.in.len == 0 || client->conn.out.len) {
        client_drop(client, client->conn.out.len > 0);
        return;
    }
    const Refusal refusal = {408, "head-timeout", "the request's head did not come whole within 15 seconds",
                             .close = true};
    refuse_recorded(client, NULL, client->authority, &refusal);
}

/* Who is late: the client with reading or with its body, or the keeper, whose own limits come first: they are
 * of what the upstream does, and on record. An answer that comes a few bytes at a time may all wait to be
 * searched, so that nothing of it arrives here for longer. */
static void late_exchange(Client *client)
{
    const Exchange *exchange = &client->exchange;
    bool wants_body = !exchange->up_last && client->body.len == 0;
    if (client->conn.out.len) {
        client_drop(client, true);
    } else if (wants_body && !exchange->head_sent) {
        const Refusal refusal = {408, "body-timeout",
                                 "nothing more of the request's body came for 60 seconds", .close = true};
        refuse_recorded(client, NULL, client->authority, &refusal);
    } else {
        client_extend(client);
    }
}

static void late_tunnel(Client *client)
{
    const Refusal refusal = {504, "tunnel-timeout", "the host was not reached within 60 seconds",
                             .close = true};
    refuse_recorded(client, NULL, "", &refusal);
}

void client_keeper_gone(Client *client)
{
    if (client->state == CLIENT_TUNNEL_WAIT ||
        (client->state == CLIENT_EXCHANGE && !client->exchange.head_sent)) {
        const Refusal refusal = {502, "keeper-gone",
                                 "purser's keeper ended; the call may or may not have reached the API",
                                 .close = true};
        refuse(client, &refusal);
    } else if (client->state == CLIENT_EXCHANGE) {
        client_drop(client, true);
    }
    client_run(client);
}

static void client_free(Client *client)
{
    Gate *gate = client->gate;
    buf_done(&client->body);
    mem_free(client->paging);
    gate->client[client->slot] = NULL;
    if (gate->n_client-- == GATE_MAX_CLIENTS) {
        event_add(gate->tcp_event, NULL);
        event_add(gate->unix_event, NULL);
    }
    if (gate->n_client == 0)
        event_del(gate->tick);
    mem_free(client);
}

void client_run(Client *client)
{
    while (client->state != CLIENT_GONE && states[client->state].step(client))
        ;
    if (client->state == CLIENT_GONE)
        client_free(client);
}

static void client_woken(evutil_socket_t fd, short what, void *arg)
{
    Client *client = arg;
    conn_woken(fd == client->conn.fd ? &client->conn : &client->far, what);
    /* While its answer is under way nothing is read from a client: that it left shows only here. */
    if (client->state == CLIENT_EXCHANGE && client->exchange.up_done && conn_is_dead(&client->conn))
        client_drop(client, true);
    client_run(client);
}

void client_open(Gate *gate, int fd, bool unix_socket)
{
    Client *client = MEM_NEW(Client);
    client->gate = gate;
    client->unix_socket = unix_socket;
    client->stream.fd = client->far.fd = -1;
    client->body = BUF_INIT(STREAM_PIECE);
    while (gate->client[client->slot])
        client->slot++;
    gate->client[client->slot] = client;
    if (++gate->n_client == GATE_MAX_CLIENTS) {
        event_del(gate->tcp_event);
        event_del(gate->unix_event);
    }
    if (gate->n_client == 1) {
        const struct timeval second = {.tv_sec = 1};
        event_add(gate->tick, &second);
    }
    conn_open(&client->conn, gate->base, fd, !unix_socket, client_woken, client);
    client_become(client, CLIENT_HEAD);
    client_run(client);
}

/* The tunnel's far end, from the keeper. */
void client_open_far(Client *client, int fd)
{
    conn_open(&client->far, client->gate->base, fd, true, client_woken, client);
}

/* Once a second: whose time is over. */
void client_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    Gate *gate = arg;
    int64_t now = clock_mono();
    for (size_t i = 0; i < GATE_MAX_CLIENTS; i++) {
        Client *client = gate->client[i];
        if (client && client->deadline <= now) {
            states[client->state].late(client);
            client_run(client);
        }
    }
}
