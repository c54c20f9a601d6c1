/* One client connection: requests come from the gate, one at a time; each is decided, sent upstream,
 * answered. stream.c is the gate's side, request.c the way up, gather.c the way of a body that has to be read
 * first, answer.c the way back.
 */
#pragma once

#include "http/chunk.h"
#include "ipc/stream.h"
#include "keeper/conn.h"
#include "keeper/decide.h"
#include "keeper/graphql-request.h"
#include "keeper/override.h"

#define STREAM_ANSWER_US                                                                                     \
    (60L * CLOCK_SECOND)              /* until the head of the answer, and between two pieces of its body */
#define STREAM_MAX_QUEUE (512u << 10) /* records that the gate does not take now; pieces stop long before */
#define STREAM_MAX_OUT   (80u << 10)  /* of a body that streams; one that was inspected is written whole */
#define STREAM_SUMMARY   256

typedef enum StreamState {
    STREAM_IDLE,      /* between requests */
    STREAM_REFUSED,   /* purser's own answer waits for the audit: a refusal, a lease's status */
    STREAM_GATHERING, /* the body is put together, because it decides */
    STREAM_RECORDED,  /* allowed, and may change something: it waits for the audit too */
    STREAM_HELD,      /* allowed; it waits, since its token is being replaced */
    STREAM_DIALING,   /* allowed; there is no connection yet */
    STREAM_ASKING,    /* a 401 came: the store is read again, and the answer waits */
    STREAM_WAITING,   /* the request goes up; the answer's head is awaited */
    STREAM_ANSWER,    /* the answer's body is passed on */
    STREAM_DRAINING,  /* answered; what still comes of the request's body is dropped */
    STREAM_STATES,
} StreamState;

struct Stream {
    Keeper *keeper;
    Run *run;
    IpcPeer gate;
    struct event from_gate, to_gate;
    bool reading, writing; /* the two events */
    StreamState state;
    /* the request */
    Grant *grant;
    Decided decided; /* the rest of what was decided with it */
    Upstream *upstream;
    Endpoint *endpoint; /* NULL as long as nothing is decided */
    char host[254];     /* the name that it is asked by */
    uint32_t method;
    unsigned rule;           /* the policy's line that allowed it */
    int64_t began;           /* mono us */
    uint64_t record;         /* number of its latest record in the audit; 0: none */
    bool unended;            /* that record is of an answer whose body goes on */
    bool parked;             /* the answer's head waits for the audit */
    uint64_t sent, received; /* bytes of the two bodies so far */
    bool body_open;          /* the gate will send more of it */
    bool chunked;
    bool wants_continue;
    bool sent_whole; /* nothing of the request is left to be sent */
    bool up_broken;  /* writing failed: the answer, if there is one, is read still */
    bool may_retry;
    bool repeatable;    /* idempotent, without a body */
    bool asked_store;   /* because of a 401, once */
    bool unpriced;      /* a GraphQL request went up; what it cost is not known yet */
    bool unread;        /* that answer is to be taken at the turn's end, from `partial` */
    Live *live;         /* the token that was sent; what the answer is searched for */
    uint64_t body_left; /* of a known length */
    OverrideScan override;
    bool graphql; /* for the endpoint */
    GraphqlWay way;
    Buf gathered;                 /* a body that decides, as far as it came */
    size_t charged;               /* bytes of it, to the run */
    char summary[STREAM_SUMMARY]; /* of the operation, for records; "" if there is none */
    Buf head;                     /* up to the credential; its room is kept */
    Buf out;                      /* body, framed, not written yet */
    char *rest;                   /* in the arena: what a full socket left over of head and credential */
    size_t rest_len, rest_at;
    Conn *conn;
    int64_t deadline; /* 0: none */
    /* the answer */
    HttpFraming framing;
    uint64_t left;
    ChunkReader chunk;
    bool keep_alive, seen; /* seen: bytes of an answer came */
    unsigned informational;
    unsigned hits;
    Buf partial; /* of the answer's head */
    Scrub *scrub;
    Buf queue; /* records for the gate: type, length, payload */
    /* for the report */
    char path[512];
    TAILQ_ENTRY(Stream) link, turn_link;
};

Stream *stream_new(Run *run, int fd); /* takes over the descriptor */
void stream_free(Stream *stream);
void stream_tick(Stream *stream, int64_t now);

/* From the connection (conn.h). */
void stream_connected(Stream *stream);
void stream_unconnected(Stream *stream, const Refused *refused);
void stream_readable(Stream *stream);
void stream_writable(Stream *stream);

/* stream.c, for request.c and answer.c */
void stream_refuse(Stream *stream, const Refused *refused);    /* before the answer */
void stream_abort(Stream *stream, const Refused *refused);     /* in the middle of it */
void stream_end(Stream *stream, const Refused *refused);       /* whichever it is, if anything is under way */
void stream_say(Stream *stream, uint16_t type, Slice payload); /* an answer of the keeper's own */
void stream_land(Stream *stream); /* the provider has counted the request, or never will */
int stream_send(Stream *stream, uint16_t type,
                Slice payload) MUST_USE; /* queued when the gate does not take it now */
bool stream_blocked(const Stream *stream);
void stream_watch_gate(Stream *stream, bool on);
void stream_answered(Stream *stream);      /* IDLE, or DRAINING */
void stream_flush_refusal(Stream *stream); /* the audit was written */
/* The answer's head may go out; `error`: the audit could not be written. */
void stream_release(Stream *stream, Slice payload, int error);

/* request.c */
void request_begin(Stream *stream, Slice payload);
void request_body(Stream *stream, Slice piece, bool end);
void request_go_up(Stream *stream);    /* over a connection, with the token that there is then */
void request_recorded(Stream *stream); /* the audit was written, or could not be */
void request_lost(Stream *stream, Refusal refusal, const char *why); /* retries, refuses, or aborts */
void request_drop_conn(Stream *stream);
bool request_check_piece(Stream *stream, Slice piece, Refused *ret_refused); /* override, budget */
/* It was allowed, and is ready to be sent: now, or when its record is written; the stream may be gone then.
 */
void request_dial(Stream *stream);

/* gather.c: GraphQL requests. gather_begin: false, refused; else its body is gathered, or it is ready to be
 * sent. */
bool gather_begin(Stream *stream, StreamRequest *request, HttpHead *head, Refused *ret_refused);
void gather_body(Stream *stream, Slice piece, bool end);
void gather_release(Stream *stream); /* what the run was charged with */
void request_repeat(Stream *stream); /* with the token that there is now */

/* answer.c */
void answer_take_unread(Stream *stream);
void answer_forget_unread(Stream *stream);
void answer_go_on(Stream *stream); /* the gate has taken what there was: what else came of the body */
