/* A request's way up: decided, built, written with the credential in it, its body streamed. See stream.h. */
#include "base/clock.h"
#include "base/mem.h"
#include "http/target.h"
#include "keeper/head.h"
#include "keeper/hold.h"
#include "keeper/record.h"
#include "keeper/run.h"

#include <errno.h>
#include <sodium.h>

void request_drop_conn(Stream *stream)
{
    secret_release(STEAL(stream->rest), stream->rest_len);
    stream->rest_len = stream->rest_at = 0;
    stream->conn = conn_free(stream->conn);
    buf_reset(&stream->out);
    buf_reset(&stream->partial);
    answer_forget_unread(stream);
    gather_release(stream);
    scrub_begin(stream->scrub, NULL);
    stream->live = live_drop(stream->live);
}

/* Again from the start, over another connection. */
static void begin_again(Stream *stream, bool fresh)
{
    Refused refused;
    stream->grant->count.retried++;
    request_drop_conn(stream);
    stream->conn = conn_take(stream->keeper, stream->endpoint, stream->host, stream, fresh, &refused);
    stream->state = STREAM_DIALING;
    stream->up_broken = stream->sent_whole = stream->seen = false;
    if (!stream->conn)
        stream_refuse(stream, &refused);
    else if (stream->conn->state == CONN_BUSY)
        stream_connected(stream);
}

void request_repeat(Stream *stream)
{
    begin_again(stream, false);
}

void request_lost(Stream *stream, Refusal refusal, const char *why)
{
    Refused refused;
    refused_set(&refused, refusal, "%s %s", stream->host, why);
    if (stream->state == STREAM_ANSWER) {
        stream_abort(stream, &refused);
        return;
    }
    if (!stream->may_retry || stream->seen || !stream->conn || !stream->conn->used) {
        stream_refuse(stream, &refused);
        return;
    }
    stream->may_retry = false;
    begin_again(stream, true);
}

/* The gate is not read while its last piece waits; once all is out the answer's clock runs. */
static void after_write(Stream *stream)
{
    bool all = !stream->rest && stream->out.len == 0;
    conn_watch_write(stream->conn, !all && !stream->up_broken);
    stream_watch_gate(stream, all || stream->up_broken);
    stream->sent_whole = all && !stream->body_open && !stream->up_broken;
    bool clients_turn = all && stream->body_open;
    if (stream->state == STREAM_WAITING)
        stream->deadline = clients_turn ? 0 : clock_mono() + STREAM_ANSWER_US;
}

static void break_up(Stream *stream)
{
    secret_release(STEAL(stream->rest), stream->rest_len);
    stream->rest_len = stream->rest_at = 0;
    buf_reset(&stream->out);
    stream->up_broken = true;
}

static void write_rest(Stream *stream)
{
    ssize_t n = conn_write(stream->conn, stream->rest + stream->rest_at, stream->rest_len - stream->rest_at);
    stream->rest_at += n > 0 ? (size_t)n : 0;
    if (n < 0 && n != -EAGAIN)
        break_up(stream);
    else if (stream->rest_at == stream->rest_len)
        secret_release(STEAL(stream->rest), stream->rest_len);
}

static void write_out(Stream *stream)
{
    if (stream->rest)
        write_rest(stream);
    if (!stream->rest && stream->out.len) {
        ssize_t n = conn_write(stream->conn, stream->out.data, stream->out.len);
        if (n > 0)
            buf_consume(&stream->out, (size_t)n);
        else if (n != -EAGAIN)
            break_up(stream);
    }
    after_write(stream);
}

void stream_writable(Stream *stream)
{
    write_out(stream);
}

/* Keeps, in the arena, what a full socket did not take. */
static void keep_rest(Stream *stream, const char *bytes, size_t len)
{
    stream->rest = secret_alloc(len);
    if (!stream->rest) {
        break_up(stream);
        return;
    }
    memcpy(stream->rest, bytes, len);
    stream->rest_len = len;
    stream->rest_at = 0;
}

/* Head, credential and the body's first piece in one write; the room is wiped before anything else happens.
 * False: the token could not be opened. */
static bool write_head(Stream *stream)
{
    Keeper *keeper = stream->keeper;
    char *room = keeper->send_room;
    size_t len = stream->head.len;
    memcpy(room, stream->head.data, len);
    ssize_t credential =
        head_put_credential(stream->endpoint, stream->live, room + len, KEEPER_SEND_ROOM - len);
    keeper->opened = true;
    ssize_t n = credential;
    if (credential > 0) {
        len += (size_t)credential;
        if (stream->out.len && stream->out.len <= KEEPER_SEND_ROOM - len) {
            memcpy(room + len, stream->out.data, stream->out.len);
            len += stream->out.len;
            buf_reset(&stream->out);
        }
        n = conn_write(stream->conn, room, len);
    }
    if (n < 0 && n != -EAGAIN)
        break_up(stream);
    else if (n < (ssize_t)len)
        keep_rest(stream, room + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
    sodium_memzero(room, credential > 0 ? len : KEEPER_SEND_ROOM);
    return credential > 0;
}

static bool refuse_missing(const Upstream *upstream, Refused *refused)
{
    return refused_set(refused, upstream->revoked ? REFUSAL_TOKEN_REVOKED : REFUSAL_TOKEN_MISSING, "%s",
                       upstream->missing);
}

void stream_connected(Stream *stream)
{
    Refused refused;
    stream->state = STREAM_WAITING;
    stream->unpriced = stream->decided.graphql;
    stream->live = live_use(stream->upstream->live);
    if (!stream->live) { /* gone while the connection was opened */
        refuse_missing(stream->upstream, &refused);
        stream_refuse(stream, &refused);
        return;
    }
    if (!write_head(stream)) {
        refused_set(&refused, REFUSAL_INTERNAL, "the token of source %s cannot be opened any more",
                    stream->upstream->source.name);
        stream_refuse(stream, &refused);
        return;
    }
    after_write(stream);
    if (stream->wants_continue && stream->body_open &&
        stream_send(stream, IPC_CONTINUE, (Slice){"", 0}) != 0) {
        stream_free(stream);
        return;
    }
    if (stream->up_broken)
        stream_readable(stream); /* what the upstream said before it hung up, or that it is gone */
}

void stream_unconnected(Stream *stream, const Refused *refused)
{
    stream->conn = NULL;
    stream_refuse(stream, refused);
}

/* Adds a piece of the body in the framing that the head has announced. False: it does not fit the
 * announcement. */
static bool frame(Stream *stream, Slice piece, bool end)
{
    char head[20];
    int r = 0;
    if (!stream->chunked) {
        if (piece.len > stream->body_left || (end && piece.len != stream->body_left))
            return false;
        stream->body_left -= piece.len;
        return buf_append_slice(&stream->out, piece) == 0;
    }
    if (piece.len) {
        r = buf_append(&stream->out, head, chunk_head(head, piece.len));
        r = r ? r : buf_append_slice(&stream->out, piece);
        r = r ? r : buf_append(&stream->out, "\r\n", 2);
    }
    if (end && r == 0)
        r = buf_append_text(&stream->out, CHUNK_END);
    return r == 0;
}

bool request_check_piece(Stream *stream, Slice piece, Refused *refused)
{
    if (override_found(&stream->override, piece))
        return refused_set(refused, REFUSAL_METHOD,
                           "the form overrides its method by a parameter _method: send that method itself");
    stream->grant->count.sent += piece.len;
    stream->sent += piece.len;
    return decide_budget(budget_spend_sent(&stream->grant->budget, piece.len), 0, refused);
}

void request_body(Stream *stream, Slice piece, bool end)
{
    Refused refused;
    if (end)
        stream->body_open = false;
    if (stream->up_broken)
        return;
    if (!request_check_piece(stream, piece, &refused)) {
        stream->state == STREAM_ANSWER ? stream_abort(stream, &refused) : stream_refuse(stream, &refused);
        return;
    }
    if (!frame(stream, piece,
               end)) { /* what went up is no whole request: that connection ends with this one */
        stream_free(stream);
        return;
    }
    write_out(stream);
    if (stream->up_broken)
        stream_readable(stream);
}

/* The name that the client asked for: of a pattern the one that it means. */
static void name_host(Stream *stream, const StreamRequest *request)
{
    const Upstream *upstream = stream->upstream;
    Slice name = request->host_name;
    if (name.len == 0 && upstream && request->host < source_hosts(&upstream->source))
        name = slice_of(source_origin(&upstream->source, request->host)->host);
    memcpy(stream->host, name.ptr, name.len);
    stream->host[name.len] = 0;
}

static void note_request(Stream *stream, const StreamRequest *request)
{
    size_t len = request->path_len < sizeof(stream->path) ? request->path_len : sizeof(stream->path) - 1;
    memcpy(stream->path, request->target.ptr, len);
    stream->path[len] = 0;
    stream->method = request->method;
    stream->body_open = request->has_body && !request->end;
    stream->wants_continue = request->expect_continue;
    stream->sent_whole = stream->up_broken = stream->seen = false;
    stream->informational = stream->hits = stream->rule = 0;
    stream->sent = stream->received = stream->record = 0;
    stream->began = clock_mono();
    bool idempotent = request->method & (HTTP_GET | HTTP_HEAD | HTTP_PUT | HTTP_DELETE);
    stream->may_retry = stream->repeatable = idempotent && !request->has_body;
    stream->asked_store = false;
    Keeper *keeper = stream->keeper;
    stream->upstream = request->source < keeper->n_upstream ? &keeper->upstream[request->source] : NULL;
    stream->endpoint = NULL;
    stream->grant = NULL;
    stream->graphql = false;
    stream->summary[0] = 0;
    name_host(stream, request);
    buf_reset(&stream->partial);
    buf_reset(&stream->out);
}

/* A body that came in chunks and is all there has a length: said before the head is built, which announces
 * it. */
static void settle_length(StreamRequest *request)
{
    if (request->has_body && request->end && request->content_length == STREAM_UNKNOWN_LENGTH)
        request->content_length = request->body.len;
}

/* What the body's announcement and first piece are. */
static bool begin_body(Stream *stream, const StreamRequest *request, Refused *refused)
{
    stream->chunked = request->has_body && request->content_length == STREAM_UNKNOWN_LENGTH;
    stream->body_left = request->has_body ? request->content_length : 0;
    if (request->body.len > STREAM_PIECE ||
        (request->has_body && !frame(stream, request->body, request->end)))
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's body is not what its length says");
    return request_check_piece(stream, request->body, refused);
}

/* What could not be recorded is not done. */
static bool check_audit(const Stream *stream, Refused *refused)
{
    return !keeper_is_mute(stream->keeper) ||
           refused_set(refused, REFUSAL_AUDIT,
                       "purser cannot write its audit, and makes no call that is not recorded; its own log "
                       "says why");
}

static bool check_token(const Stream *stream, Refused *refused)
{
    const Upstream *upstream = stream->upstream;
    if (!upstream->live)
        return refuse_missing(upstream, refused);
    return !stream->endpoint->closed ||
           refused_set(refused, REFUSAL_HOST_CLOSED, "%s", stream->endpoint->closed);
}

static bool is_artifact(const Upstream *upstream, const StreamRequest *request)
{
    return request->host < source_hosts(&upstream->source) &&
           upstream->endpoint[request->host].use == HOST_ARTIFACT;
}

static bool ask(Stream *stream, const StreamRequest *request, const HttpHead *head, Refused *refused)
{
    if (!stream->upstream)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request is for no source");
    DecideRequest question = run_question(stream->run, request, head);
    question.artifact = is_artifact(stream->upstream, request);
    bool yes = decide_request(&question, &stream->decided, refused);
    stream->grant = stream->decided.grant;
    if (yes) {
        stream->upstream = &stream->keeper->upstream[stream->grant->source];
        stream->endpoint = &stream->upstream->endpoint[stream->decided.host];
    }
    if (stream->grant && !question.artifact)
        stream->graphql = decide_is_graphql(request, stream->grant->origin);
    return yes;
}

static bool decide(Stream *stream, StreamRequest *request, HttpHead *head, Refused *refused)
{
    bool yes = ask(stream, request, head, refused);
    sodium_memzero((char *)request->credential.ptr, request->credential.len); /* it may be a real token */
    stream->rule = stream->grant ? stream->decided.rule : 0;
    if (!yes)
        return false;
    stream->grant->count.requests++;
    record_would(stream);
    if (!stream->graphql && stream->endpoint->use != HOST_ARTIFACT)
        seen_rest(stream->run, stream->grant->source, request, stream->host);
    if (!check_audit(stream, refused))
        return false;
    if (stream->graphql)
        return check_token(stream, refused) && gather_begin(stream, request, head, refused);
    settle_length(request);
    if (!check_token(stream, refused) ||
        !head_build(stream->endpoint, stream->host, request, head, &stream->head, refused))
        return false;
    override_begin(&stream->override, head);
    if (stream->override.active && request->has_body && !http_content_encoding_is_identity(head))
        return refused_set(refused, REFUSAL_METHOD,
                           "the form is compressed, so purser cannot see whether it overrides its method: "
                           "send it without Content-Encoding");
    if (stream->override.active && request->has_body && !override_is_readable(head))
        return refused_set(refused, REFUSAL_METHOD,
                           "the form is in a charset that purser does not read, so it cannot see whether it "
                           "overrides its method: send it in UTF-8");
    return begin_body(stream, request, refused);
}

void request_go_up(Stream *stream)
{
    Refused refused;
    if (hold_takes(stream))
        return;
    stream->conn = conn_take(stream->keeper, stream->endpoint, stream->host, stream, false, &refused);
    if (!stream->conn) {
        stream_refuse(stream, &refused);
        return;
    }
    stream->state = STREAM_DIALING;
    if (stream->conn->state == CONN_BUSY)
        stream_connected(stream);
    else
        stream_watch_gate(stream, !stream->body_open);
}

void request_dial(Stream *stream)
{
    if (stream->method & (HTTP_GET | HTTP_HEAD)) {
        request_go_up(stream);
        return;
    }
    record_sent(stream);
    stream->state = STREAM_RECORDED;
    TAILQ_INSERT_TAIL(&stream->keeper->recorded, stream, turn_link);
}

void request_begin(Stream *stream, Slice payload)
{
    static HttpHead head; /* only its headers are used */
    StreamRequest request;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    if (stream_request_get(&wire, head.header, &request) != 0 || stream->parked || stream_blocked(stream)) {
        run_distrust(stream->run);
        return;
    }
    head.n_header = request.n_header;
    note_request(stream, &request);
    Refused refused;
    if (!decide(stream, &request, &head, &refused))
        stream_refuse(stream, &refused);
    else if (stream->state != STREAM_GATHERING)
        request_dial(stream);
}

void request_recorded(Stream *stream)
{
    TAILQ_REMOVE(&stream->keeper->recorded, stream, turn_link);
    stream->state = STREAM_IDLE;
    Refused refused;
    if (check_audit(stream, &refused))
        request_go_up(stream);
    else
        stream_refuse(stream, &refused);
}
