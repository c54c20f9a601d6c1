/* One byte connection, plain or TLS. See conn.h. */
#include "gate/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#define READ_STEP 4096 /* first room of a connection: most heads fit */

void conn_open(Conn *conn, struct event_base *base, int fd, bool tcp, ConnWake *wake, void *arg)
{
    *conn = (Conn){
        .fd = fd,
        .tcp = tcp,
        .readable = true,
        .in = BUF_INIT(CONN_MAX_IN),
        .raw = BUF_INIT(CONN_MAX_IN),
        .out = BUF_INIT(CONN_MAX_OUT),
    };
    event_assign(&conn->read_event, base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, wake, arg);
    event_assign(&conn->write_event, base, fd, EV_WRITE | EV_ET, wake, arg);
    event_add(&conn->read_event, NULL);
}

void conn_woken(Conn *conn, short what)
{
    if (what & EV_CLOSED)
        conn->closed = true;
    if (what & (EV_READ | EV_CLOSED))
        conn->readable = true;
}

/* recv() that remembers what it learned: a short read emptied the socket, and the next edge will tell of
 * more. */
static ssize_t socket_read(Conn *conn, void *at, size_t room)
{
    if (!conn->readable)
        return -EAGAIN;
    ssize_t n;
    do
        n = recv(conn->fd, at, room, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EAGAIN)
            conn->readable = false;
        return -errno;
    }
    if (n == 0)
        conn->closed = true;
    else if ((size_t)n < room && !conn->closed)
        conn->readable = false;
    return n;
}

static ssize_t socket_write(Conn *conn, const void *from, size_t len)
{
    ssize_t n;
    do
        n = send(conn->fd, from, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int bio_read(BIO *bio, char *at, int room)
{
    Conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (conn->raw.len) {
        size_t n = conn->raw.len < (size_t)room ? conn->raw.len : (size_t)room;
        memcpy(at, conn->raw.data, n);
        buf_consume(&conn->raw, n);
        return (int)n;
    }
    ssize_t n = socket_read(conn, at, (size_t)room);
    if (n == -EAGAIN)
        BIO_set_retry_read(bio);
    return n < 0 ? -1 : (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    BIO_clear_retry_flags(bio);
    ssize_t n = socket_write(BIO_get_data(bio), from, (size_t)len);
    if (n == -EAGAIN)
        BIO_set_retry_write(bio);
    return n < 0 ? -1 : (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    if (!method && (method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gate connection"))) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_control);
    }
    return method;
}

int conn_start_tls(Conn *conn, SSL_CTX *ctx, const char *name)
{
    BIO *bio = BIO_new(bio_method());
    SSL *ssl = SSL_new(ctx);
    if (!bio || !ssl) {
        BIO_free(bio);
        SSL_free(ssl);
        return -ENOMEM;
    }
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    SSL_set_app_data(ssl, (void *)name);
    Buf early = conn->in;
    conn->in = conn->raw;
    conn->raw = early;
    conn->ssl = ssl;
    return 0;
}

/* What an SSL_... call that did not succeed means. */
static int tls_result(Conn *conn, int result)
{
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        event_add(&conn->write_event, NULL);
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return -ENODATA;
    default:
        return -EPROTO;
    }
}

int conn_handshake(Conn *conn)
{
    ERR_clear_error();
    int n = SSL_do_handshake(conn->ssl);
    return n == 1 ? 0 : tls_result(conn, n);
}

static int fill_once(Conn *conn, char *at, size_t room, size_t *ret_len)
{
    if (conn->ssl) {
        ERR_clear_error();
        int n = SSL_read_ex(conn->ssl, at, room, ret_len);
        return n == 1 ? 0 : tls_result(conn, n);
    }
    ssize_t n = socket_read(conn, at, room);
    if (n == 0)
        return -ENODATA;
    if (n < 0)
        return (int)n;
    *ret_len = (size_t)n;
    return 0;
}

int conn_fill(Conn *conn, size_t most)
{
    bool added = false;
    if (conn->eof)
        return -ENODATA;
    while (conn->in.len < most) {
        char *at;
        size_t want = conn->in.len < READ_STEP ? READ_STEP - conn->in.len : most - conn->in.len, len = 0;
        if (want > most - conn->in.len)
            want = most - conn->in.len;
        int r = buf_reserve(&conn->in, want, &at);
        if (!r)
            r = fill_once(conn, at, want, &len);
        conn->eof = r == -ENODATA;
        if (r)
            return added && (r == -EAGAIN || r == -ENODATA) ? 0 : r;
        buf_commit(&conn->in, len);
        added = true;
    }
    return 0;
}

static int write_once(Conn *conn, Slice bytes, size_t *ret_len)
{
    if (conn->ssl) {
        ERR_clear_error();
        int n = SSL_write_ex(conn->ssl, bytes.ptr, bytes.len, ret_len);
        return n == 1 ? 0 : tls_result(conn, n);
    }
    ssize_t n = socket_write(conn, bytes.ptr, bytes.len);
    if (n == -EAGAIN)
        event_add(&conn->write_event, NULL);
    *ret_len = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

static int write_some(Conn *conn, Slice *bytes)
{
    while (bytes->len) {
        size_t n = 0;
        int r = write_once(conn, *bytes, &n);
        if (r)
            return r;
        bytes->ptr += n;
        bytes->len -= n;
    }
    return 0;
}

int conn_write(Conn *conn, Slice bytes)
{
    if (conn->out.len == 0) {
        int r = write_some(conn, &bytes);
        if (r && r != -EAGAIN)
            return r;
    }
    return bytes.len ? buf_append_slice(&conn->out, bytes) : 0;
}

int conn_flush(Conn *conn)
{
    if (conn->out.len == 0)
        return 0;
    Slice rest = buf_slice(&conn->out);
    size_t before = rest.len;
    int r = write_some(conn, &rest);
    buf_consume(&conn->out, before - rest.len);
    if (conn->out.len == 0)
        buf_done(&conn->out);
    return r;
}

int conn_drain(Conn *conn, size_t most, size_t *ret_dropped)
{
    static char waste[16384];
    size_t dropped = 0;
    ssize_t n = 0;
    while (dropped < most && (n = socket_read(conn, waste, sizeof(waste))) > 0)
        dropped += (size_t)n;
    *ret_dropped = dropped;
    return n > 0 ? 0 : n == 0 ? -ENODATA : (int)n;
}

bool conn_is_dead(const Conn *conn)
{
    struct pollfd now = {.fd = conn->fd};
    return poll(&now, 1, 0) == 1 && (now.revents & (POLLERR | POLLHUP));
}

void conn_shutdown(Conn *conn)
{
    if (conn->ssl && SSL_is_init_finished(conn->ssl)) {
        ERR_clear_error();
        SSL_shutdown(conn->ssl);
    }
    conn->shut = true;
    shutdown(conn->fd, SHUT_WR);
}

void conn_close(Conn *conn, bool broken)
{
    if (conn->fd < 0)
        return;
    event_del(&conn->read_event);
    event_del(&conn->write_event);
    if (broken && conn->tcp) {
        struct linger now = {.l_onoff = 1};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    fd_close(&conn->fd);
    buf_done(&conn->in);
    buf_done(&conn->raw);
    buf_done(&conn->out);
}
