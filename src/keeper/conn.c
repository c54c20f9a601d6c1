/* One connection to an upstream, and each host's pool of idle ones. See conn.h. */
#include "keeper/conn.h"

#include "base/clock.h"
#include "base/mem.h"
#include "keeper/stream.h"
#include "keeper/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

static void count_idle(Conn *conn, int change)
{
    conn->endpoint->n_idle += (size_t)change;
    conn->keeper->n_idle += (size_t)change;
}

static void set_state(Conn *conn, ConnState state)
{
    struct ConnList *list = &conn->endpoint->conns;
    count_idle(conn, -(conn->state == CONN_IDLE));
    count_idle(conn, state == CONN_IDLE);
    conn->state = state;
    TAILQ_REMOVE(list, conn, link);
    if (state == CONN_IDLE) /* idle ones first, the warmest at the front */
        TAILQ_INSERT_HEAD(list, conn, link);
    else
        TAILQ_INSERT_TAIL(list, conn, link);
}

Conn *conn_free(Conn *conn)
{
    if (!conn)
        return NULL;
    conn_watch_read(conn, false);
    conn_watch_write(conn, false);
    if (conn->dial)
        dial_cancel(conn->dial);
    SSL_free(conn->ssl);
    fd_close(&conn->fd);
    count_idle(conn, -(conn->state == CONN_IDLE));
    TAILQ_REMOVE(&conn->endpoint->conns, conn, link);
    mem_free(conn->host);
    mem_free(conn);
    return NULL;
}

void conn_watch_read(Conn *conn, bool on)
{
    if (conn->reading != on && conn->fd >= 0)
        on ? event_add(&conn->readable, NULL) : event_del(&conn->readable);
    conn->reading = on && conn->fd >= 0;
}

void conn_watch_write(Conn *conn, bool on)
{
    if (conn->writing != on && conn->fd >= 0)
        on ? event_add(&conn->writable, NULL) : event_del(&conn->writable);
    conn->writing = on && conn->fd >= 0;
}

/* OpenSSL's queue of errors is the process's: what another connection left in it (libcurl's to a store whose
 * handshake failed) would be taken for an error of this one, so it is emptied before each call. To look is
 * cheaper than to empty. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

static ssize_t tls_result(Conn *conn, int n)
{
    if (n > 0)
        return n;
    switch (SSL_get_error(conn->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        ERR_clear_error();
        return -ECONNRESET;
    }
}

ssize_t conn_read(Conn *conn, char *room, size_t len)
{
    if (conn->ssl) {
        forget_errors();
        return tls_result(conn, SSL_read(conn->ssl, room, (int)len));
    }
    ssize_t n = recv(conn->fd, room, len, 0);
    return n >= 0 ? n : errno == EINTR || errno == EAGAIN ? -EAGAIN : -ECONNRESET;
}

bool conn_has_more(const Conn *conn)
{
    return conn->ssl && SSL_has_pending(conn->ssl);
}

ssize_t conn_write(Conn *conn, const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n;
        if (conn->ssl) {
            forget_errors();
            n = tls_result(conn, SSL_write(conn->ssl, bytes + at, (int)(len - at)));
        } else {
            n = send(conn->fd, bytes + at, len - at, MSG_NOSIGNAL);
            n = n >= 0 ? n : errno == EINTR || errno == EAGAIN ? -EAGAIN : -errno;
        }
        if (n <= 0)
            return at ? (ssize_t)at : n == 0 ? -ECONNRESET : n;
        at += (size_t)n;
    }
    return (ssize_t)at;
}

void conn_forget_plain(Conn *conn)
{
    if (conn->ssl)
        SSL_free_buffers(conn->ssl);
}

/* An upstream has nothing to say between answers: a session ticket is taken, anything else ends the
 * connection. NULL: it did. */
static Conn *look_at_idle(Conn *conn)
{
    char byte;
    return conn_read(conn, &byte, 1) != -EAGAIN || conn_has_more(conn) ? conn_free(conn) : conn;
}

static void fail_open(Conn *conn, const Refused *refused)
{
    Stream *stream = conn->stream;
    conn_free(conn);
    stream_unconnected(stream, refused);
}

static void open_done(Conn *conn)
{
    set_state(conn, CONN_BUSY);
    conn_watch_write(conn, false);
    conn_watch_read(conn, true);
    stream_connected(conn->stream);
}

static void shake_hands(Conn *conn)
{
    ERR_clear_error();
    int n = SSL_connect(conn->ssl);
    if (n == 1) {
        open_done(conn);
        return;
    }
    int why = SSL_get_error(conn->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        conn_watch_read(conn, true);
        conn_watch_write(conn, why == SSL_ERROR_WANT_WRITE);
        return;
    }
    Refused refused;
    tls_explain(conn->host, conn->ssl, &refused);
    ERR_clear_error();
    fail_open(conn, &refused);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Conn *conn = context;
    switch (conn->state) {
    case CONN_HANDSHAKE:
        shake_hands(conn);
        break;
    case CONN_BUSY:
        stream_readable(conn->stream);
        break;
    case CONN_IDLE:
        look_at_idle(conn);
        break;
    case CONN_DIALING:
        break;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Conn *conn = context;
    if (conn->state == CONN_HANDSHAKE)
        shake_hands(conn);
    else if (conn->state == CONN_BUSY)
        stream_writable(conn->stream);
}

static void on_dialled(void *context, int fd, const Refused *refused)
{
    Conn *conn = context;
    conn->dial = NULL;
    if (fd < 0) {
        fail_open(conn, refused);
        return;
    }
    conn->fd = fd;
    event_assign(&conn->readable, conn->keeper->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->writable, conn->keeper->base, fd, EV_WRITE | EV_PERSIST, on_writable, conn);
    if (!conn->endpoint->origin->tls) {
        open_done(conn);
        return;
    }
    conn->ssl = tls_client(conn->endpoint, conn->host, fd);
    if (!conn->ssl) {
        Refused memory;
        refused_set(&memory, REFUSAL_INTERNAL, "OpenSSL could not be set up for %s", conn->host);
        fail_open(conn, &memory);
        return;
    }
    set_state(conn, CONN_HANDSHAKE);
    shake_hands(conn);
}

static Conn *open_new(Keeper *keeper, Endpoint *endpoint, const char *host, Stream *stream, Refused *refused)
{
    if (endpoint->origin->tls && tls_prepare(keeper, endpoint->upstream, refused) != 0)
        return NULL;
    Conn *conn = MEM_NEW(Conn);
    *conn = (Conn){.keeper = keeper, .endpoint = endpoint, .stream = stream, .state = CONN_DIALING, .fd = -1};
    conn->host = mem_strdup(host);
    conn->once = endpoint->use == HOST_ARTIFACT;
    conn->deadline = clock_mono() + CONN_OPEN_US;
    TAILQ_INSERT_TAIL(&endpoint->conns, conn, link);
    const Source *source = &endpoint->upstream->source;
    DialTo to = {conn->host, endpoint->origin->port, source->connect_to, source->allow_private,
                 source->n_allow_private};
    conn->dial = dial_start(keeper, &to, on_dialled, conn);
    if (conn->dial)
        return conn;
    refused_set(refused, REFUSAL_INTERNAL, "libcurl could not begin to dial %s", host);
    return conn_free(conn);
}

/* What an upstream has said in this turn, before the request, would be taken for its answer: the event is
 * there, and its turn comes later. */
static bool has_spoken(const Conn *conn)
{
    return conn->readable.ev_evcallback.evcb_flags & EVLIST_ACTIVE;
}

static Conn *first_idle(const Endpoint *endpoint)
{
    Conn *next;
    for (Conn *conn = TAILQ_FIRST(&endpoint->conns); conn && conn->state == CONN_IDLE; conn = next) {
        next = TAILQ_NEXT(conn, link);
        if (!has_spoken(conn) || look_at_idle(conn))
            return conn;
    }
    return NULL;
}

Conn *conn_take(Keeper *keeper, Endpoint *endpoint, const char *host, Stream *stream, bool fresh,
                Refused *ret_refused)
{
    Conn *conn = fresh ? NULL : first_idle(endpoint);
    if (!conn)
        return open_new(keeper, endpoint, host, stream, ret_refused);
    set_state(conn, CONN_BUSY);
    conn->stream = stream;
    return conn;
}

void conn_give_back(Conn *conn)
{
    conn->stream = NULL;
    conn->used = true;
    if (conn->once || conn_has_more(conn) || conn->writing || conn->endpoint->n_idle >= CONN_MAX_IDLE ||
        conn->keeper->n_idle >= CONN_ALL_IDLE) {
        conn_free(conn);
        return;
    }
    conn->deadline = clock_mono() + CONN_IDLE_US;
    set_state(conn, CONN_IDLE);
    conn_watch_read(conn, true);
}

static void expire(Conn *conn)
{
    if (conn->state == CONN_IDLE) {
        if (conn->ssl)
            SSL_shutdown(conn->ssl);
        conn_free(conn);
        return;
    }
    Refused refused;
    refused_set(&refused, REFUSAL_UPSTREAM_TIMEOUT, "%s did not finish the TLS handshake in time",
                conn->host);
    fail_open(conn, &refused);
}

static void tick_endpoint(Endpoint *endpoint, int64_t now)
{
    Conn *next;
    for (Conn *conn = TAILQ_FIRST(&endpoint->conns); conn; conn = next) {
        next = TAILQ_NEXT(conn, link);
        if (conn->state != CONN_BUSY && now >= conn->deadline)
            expire(conn);
    }
}

void conn_tick(Keeper *keeper, int64_t now)
{
    for (size_t i = 0; i < keeper->n_upstream; i++)
        for (size_t k = 0; k < source_hosts(&keeper->upstream[i].source); k++)
            tick_endpoint(&keeper->upstream[i].endpoint[k], now);
}
