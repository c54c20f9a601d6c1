/* One client connection of the gate: a state and what belongs to it. The table in client.c says what each
 * state does when something may have moved, how long it may last, and what happens then.
 *
 *   HEAD        between requests, or in the middle of a head. In proxy mode CONNECT comes here too.
 *   HANDSHAKE   CONNECT to a source's host was answered; TLS begins
 *   EXCHANGE    a request is with the keeper: its body goes up, its answer comes down
 *   TUNNEL_WAIT CONNECT to an egress host: the keeper dials
 *   TUNNEL      bytes go to and fro untouched
 *   LAST        everything was answered; what of it the client has not taken yet is written
 *   LINGER      everything was said; the client is given a moment to read it
 *   GONE        closed; freed by client_run()
 */
#pragma once

#include "gate/gate.h"
#include "http/chunk.h"
#include "http/head.h"
#include "ipc/stream.h"

typedef enum ClientState {
    CLIENT_GONE,
    CLIENT_HEAD,
    CLIENT_HANDSHAKE,
    CLIENT_EXCHANGE,
    CLIENT_TUNNEL_WAIT,
    CLIENT_TUNNEL,
    CLIENT_LAST,
    CLIENT_LINGER,
    CLIENT_STATES,
} ClientState;

/* The request that is being answered. */
typedef struct Exchange {
    uint32_t method;
    bool http10;
    bool keep_alive;  /* the connection may be used again */
    bool expects;     /* the client waits for 100-continue */
    HttpFraming up;   /* of the request's body */
    uint64_t up_left; /* HTTP_LENGTH */
    ChunkReader chunk;
    bool up_last;     /* the end of the body was read */
    bool up_done;     /* ... and went to the keeper */
    bool started;     /* the head's first byte came */
    bool head_sent;   /* the answer has begun */
    HttpFraming down; /* of the answer's body */
    uint64_t down_left;
} Exchange;

typedef struct Client {
    Gate *gate;
    size_t slot; /* in gate->client */
    ClientState state;
    int64_t deadline; /* mono us */
    bool unix_socket;
    Conn conn;
    size_t scanned;      /* of conn.in: bytes in which no line ended */
    const Host *host;    /* inside TLS: the CONNECT's; else NULL */
    char authority[254]; /* ... and its name: the one that host's pattern means; else "" */
    IpcPeer stream;      /* to the keeper; fd -1 until the first request */
    bool stream_readable;
    struct event stream_read, stream_write;
    Exchange exchange;
    Buf body;                    /* decoded from chunks, not sent yet */
    uint32_t tunnel;             /* id, 0: none */
    Conn far;                    /* of the tunnel */
    const RunSourceInfo *source; /* of the request under way */
    char prefix[320]; /* base-URL mode: what stands for the source's origin, "http://127.0.0.1:1234/github";
                         or "" */
    Paging *paging;   /* of the JSON answer under way; kept for the next one */
    bool rewriting;   /* it is in use */
} Client;

/* Takes a new connection over. */
void client_open(Gate *gate, int fd, bool unix_socket);

/* Once a second (the gate's tick event): ends those whose time is over. */
void client_tick(evutil_socket_t fd, short what, void *arg);

/* Goes on as far as it can; frees the client when it is gone. Called from events only, never from a step. */
void client_run(Client *client);

/* For steps: the new state and its time. */
void client_become(Client *client, ClientState state);
void client_extend(Client *client); /* something moved: the state's time begins anew */

/* conn_flush() of its connection; whoever reads slowly is not late. */
int client_flush(Client *client) MUST_USE;

/* Closes it now. `broken`: the client must see that the answer is not whole. */
void client_drop(Client *client, bool broken);

/* Everything was answered: nothing more is read, the rest is written, then it lingers. */
void client_finish(Client *client);

/* Takes over the far end of a tunnel. */
void client_open_far(Client *client, int fd);

/* The steps of the states; true: the state changed, go on with the new one. */
bool request_step_head(Client *client);
bool exchange_step(Client *client);
bool tunnel_step(Client *client);

/* A call of purser's own, on the run's socket (lease-call.c). `path`: with its query. */
#define LEASE_CALLS "/purser/"
void lease_call(Client *client, const HttpHead *head, Slice path);

/* CONNECT (proxy.c). */
void proxy_connect(Client *client, const HttpHead *head);
/* An absolute-form target. True: it names this gate itself, and *ret_target is its origin form; else it was
 * refused. */
bool proxy_absolute(Client *client, const HttpHead *head, Slice *ret_target);

/* The client's stream to the keeper (stream.c). A REQUEST makes it when there is none or the keeper closed it
 * while it was idle. On -EAGAIN the client is woken when there is room again. */
int client_stream_send(Client *client, uint16_t type, Slice payload) MUST_USE;
int client_stream_recv(Client *client, void *room, IpcRecord *ret_record) MUST_USE;
void client_stream_close(Client *client);

/* The next piece of the request's body out of *input, at most `most` bytes, decoded; empty when more must be
 * read. Sets up_last. -EBADMSG: broken chunks. The piece lies in the input or in room of exchange.c's until
 * the next call. */
int exchange_piece(Exchange *exchange, Slice *input, size_t most, Slice *ret_piece) MUST_USE;

/* One record of the keeper's, for the answer under way (response.c). `room`: where it lies, with
 * RESPONSE_FRONT bytes before and RESPONSE_BACK bytes behind it that may be overwritten. */
#define RESPONSE_FRONT (IPC_MAX_RECORD + 4096)
#define RESPONSE_BACK  16
void response_take(Client *client, const IpcRecord *record);
void response_cut_off(Client *client); /* the stream broke */

/* Base-URL mode (links.c). What a source's own URL is; once. */
void links_of_source(RunSourceInfo *source);
/* How much of `at` is it, up to the end of a path segment; 0: another one. */
size_t links_own_url(const Client *client, Slice at);
/* Whether this answer's body is JSON whose links are rewritten (client->rewriting). Its length is not known
 * then, so not for HTTP/1.0. */
void links_begin(Client *client, const StreamResponse *response);

/* The keeper is gone: what each client is told. */
void client_keeper_gone(Client *client);

/* The keeper's answer to TUNNEL_WANTED. fd < 0: refused. */
void tunnel_answer(Gate *gate, const TunnelRefused *answer, int fd);
