/* One byte connection of the gate, plain or TLS: a client's, or the far end of a tunnel. Never blocks.
 *
 * The read event is edge-triggered and stays for the connection's life, so that a request changes no epoll
 * set; what is known about the socket lies in `readable`. The write event is added only when the kernel did
 * not take everything: the rest waits in `out`, and its owner reads nothing more for this connection until it
 * is gone. Both buffers are bounded.
 */
#pragma once

#include "base/buf.h"
#include "http/head.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>

#define CONN_MAX_IN  HTTP_MAX_HEAD
#define CONN_MAX_OUT (160u << 10) /* one record of the keeper's with its head, and what a refusal adds */

typedef struct Conn {
    int fd; /* -1: none */
    SSL *ssl;
    Buf in;        /* read (and decrypted), not used yet */
    Buf raw;       /* read before TLS began, not decrypted yet */
    Buf out;       /* to be written (and encrypted) */
    bool tcp;      /* can be reset */
    bool readable; /* the socket may have something */
    bool closed;   /* the other end will send nothing more: readable stays set */
    bool eof;      /* ... and all of that was read */
    bool shut;     /* conn_shutdown() was called */
    struct event read_event, write_event;
} Conn;

typedef void ConnWake(evutil_socket_t fd, short what, void *arg);

/* Takes the descriptor over. `wake` is called with `arg` for both events; it calls conn_woken() first. */
void conn_open(Conn *conn, struct event_base *base, int fd, bool tcp, ConnWake *wake, void *arg);
void conn_woken(Conn *conn, short what);

/* Goes on as a TLS server; what lies in `in` is its first bytes. `name`: of the server, as SNI must have it.
 */
int conn_start_tls(Conn *conn, SSL_CTX *ctx, const char *name) MUST_USE;
int conn_handshake(
    Conn *conn) MUST_USE; /* 0: done; -EAGAIN; -EPROTO: the reason is in OpenSSL's error queue */

/* Reads until `in` holds `most` bytes or nothing more is there. 0: something was added; -EAGAIN: nothing was
 * there; -ENODATA: the other end will send nothing more; otherwise the connection is broken. */
int conn_fill(Conn *conn, size_t most) MUST_USE;

/* Writes now what the kernel takes and keeps the rest. Fails when the connection is broken. */
int conn_write(Conn *conn, Slice bytes) MUST_USE;
int conn_flush(Conn *conn) MUST_USE; /* 0: `out` is empty; -EAGAIN */

/* Reads and drops at most `most` bytes; the same answers as conn_fill(). Past TLS: what comes is not
 * decrypted. */
int conn_drain(Conn *conn, size_t most, size_t *ret_dropped) MUST_USE;

/* Both directions are over: nothing that is written arrives. (One that only sends no more may still read.) */
bool conn_is_dead(const Conn *conn);

/* Says that nothing more will be sent (TLS: close_notify first). */
void conn_shutdown(Conn *conn);

/* Closes. `broken`: the other end must see that it was cut off: no close_notify, and a reset on TCP. */
void conn_close(Conn *conn, bool broken);
