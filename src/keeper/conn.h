/* One connection to a host of a source, from the dial to its end; idle ones are kept for the next request.
 * Events on the socket stay registered from request to request: a warm request changes no epoll set.
 */
#pragma once

#include "keeper/dial.h"
#include "keeper/keeper.h"

#define CONN_IDLE_US  (30L * CLOCK_SECOND)
#define CONN_OPEN_US  (10L * CLOCK_SECOND) /* dial and handshake together */
#define CONN_MAX_IDLE 64                   /* of one host */
#define CONN_ALL_IDLE 512                  /* of all */

typedef enum ConnState { CONN_DIALING, CONN_HANDSHAKE, CONN_BUSY, CONN_IDLE } ConnState;

struct Conn {
    Keeper *keeper;
    Endpoint *endpoint;
    char *host;     /* the name that is dialled and verified */
    Stream *stream; /* whose request it carries, or waits for it; NULL when idle */
    ConnState state;
    Dial *dial;
    int fd;
    SSL *ssl;  /* NULL: plain (loopback in tests) */
    bool once; /* not kept: a host that a pattern stands for */
    struct event readable, writable;
    bool reading, writing;
    bool used; /* carried a request before: may turn out dead */
    int64_t deadline;
    TAILQ_ENTRY(Conn) link;
};

/* An idle connection, or a new one that is being opened (then stream_connected() or stream_unconnected()
 * follows, never before this returns). `host`: the endpoint's own name, or the one that its pattern means.
 * `fresh`: not a pooled one. NULL: no memory, or the source's TLS cannot be set up. */
Conn *conn_take(Keeper *keeper, Endpoint *endpoint, const char *host, Stream *stream, bool fresh,
                Refused *ret_refused);

/* Back into the pool, if nothing of it is left over. */
void conn_give_back(Conn *conn);
Conn *conn_free(Conn *conn); /* takes NULL, returns NULL */

/* Bytes read; 0 at a clean end; -EAGAIN; -ECONNRESET when it was cut off. */
ssize_t conn_read(Conn *conn, char *room, size_t len);
bool conn_has_more(
    const Conn *conn); /* bytes that were read from the socket already: no event will tell of them */

/* Bytes written (maybe fewer), -EAGAIN, or another negative errno. */
ssize_t conn_write(Conn *conn, const char *bytes, size_t len);

void conn_watch_read(Conn *conn, bool on);
void conn_watch_write(Conn *conn, bool on);
void conn_forget_plain(Conn *conn); /* frees (and so wipes) what OpenSSL keeps of the answer in the clear */

void conn_tick(Keeper *keeper, int64_t now); /* drops what was idle, or opening, for too long */
