/* An answer's way back: strictly parsed, filtered, scrubbed, passed on in pieces. See stream.h.
 * A body that breaks off is told as such (IPC_ABORT), never passed as whole.
 */
#include "base/clock.h"
#include "keeper/head.h"
#include "keeper/held.h"
#include "keeper/parked.h"
#include "keeper/record.h"
#include "keeper/run.h"

#include <curl/curl.h>
#include <errno.h>

#define READ_HEAD         (16u << 10)
#define FIRST_PIECE       (24u << 10) /* of body beside a head in one record */
#define MAX_INFORMATIONAL 16

static void lose(Stream *stream, ssize_t n)
{
    if (stream->seen || stream->state == STREAM_ANSWER)
        request_lost(stream, REFUSAL_UPSTREAM_RESET, "broke the connection off in the middle of its answer");
    else
        request_lost(stream, REFUSAL_UPSTREAM_RESET,
                     n == 0 ? "closed the connection without an answer"
                            : "broke the connection off without an answer");
}

/* Takes the body's framing off, moving what is body together at the front. -EBADMSG; 1: that was all of it.
 */
static int unframe(Stream *stream, char *bytes, size_t len, Slice *ret_body)
{
    Slice input = {bytes, len}, piece;
    size_t n = 0;
    int r = 0;
    switch (stream->framing) {
    case HTTP_NO_BODY:
        n = 0;
        break;
    case HTTP_LENGTH:
        n = len < stream->left ? len : (size_t)stream->left;
        stream->left -= n;
        break;
    case HTTP_UNTIL_CLOSE:
        *ret_body = input;
        return 0;
    case HTTP_CHUNKED:
        while ((r = chunk_read(&stream->chunk, &input, &piece)) == 0) {
            memmove(bytes + n, piece.ptr, piece.len);
            n += piece.len;
        }
        *ret_body = (Slice){bytes, n};
        stream->keep_alive &= input.len == 0;
        return r == CHUNK_E_BAD ? -EBADMSG : r == CHUNK_E_END;
    }
    *ret_body = (Slice){bytes, n};
    stream->keep_alive &= n == len; /* more than the answer: nobody asked for that */
    return stream->framing == HTTP_NO_BODY || stream->left == 0;
}

static void finish(Stream *stream)
{
    Conn *conn = stream->conn;
    record_end(stream, true, NULL, NULL);
    stream->conn = NULL;
    conn->stream = NULL;
    if (stream->hits)
        conn_forget_plain(conn);
    stream->grant->count.redacted += stream->hits;
    if (stream->keep_alive && stream->sent_whole && stream->framing != HTTP_UNTIL_CLOSE)
        conn_give_back(conn);
    else
        conn_free(conn);
    request_drop_conn(stream);
    stream_answered(stream);
}

/* Scrubs a piece, and with the first one (`head` not NULL) the head; the budget is of what the upstream sent.
 */
static int clean(Stream *stream, const Slice *head, Slice body, bool last, Slice *ret_out, Refused *refused)
{
    Narrowed *narrowed = &stream->run->narrowed;
    stream->grant->count.received += body.len;
    stream->received += body.len;
    if (!decide_answer(&stream->decided, stream->received, refused) ||
        !decide_budget(budget_spend_received(&stream->grant->budget, body.len), 0, refused) ||
        !decide_narrowed(narrowed_spend_received(narrowed, &stream->decided.narrowing, body.len), refused))
        return -EDQUOT;
    stream->keeper->opened = true;
    int r = head ? scrub_first(stream->scrub, stream->live->forms, *head, body, last, ret_out, &stream->hits)
                 : scrub_piece(stream->scrub, (char *)body.ptr, body.len, last, ret_out, &stream->hits);
    if (r)
        refused_set(refused, REFUSAL_INTERNAL, "purser could not search the answer for credentials");
    return r;
}

/* Body as DATA records. False: the stream is gone. */
static bool send_data(Stream *stream, Slice out, bool last)
{
    do {
        Slice piece = {out.ptr, out.len < STREAM_PIECE ? out.len : STREAM_PIECE};
        out = (Slice){out.ptr + piece.len, out.len - piece.len};
        bool end = last && out.len == 0;
        if (piece.len == 0 && !end)
            return true;
        if (stream_send(stream, end ? IPC_DATA_END : IPC_DATA, piece) != 0) {
            stream_free(stream);
            return false;
        }
    } while (out.len);
    return true;
}

/* On record first: the turn's end writes the audit, and lets it go. */
static bool send_head(Stream *stream, HttpHead *head, uint64_t length, Slice body, bool end, bool whole)
{
    StreamResponse response = {.status = (uint16_t)head->status,
                               .reason = {head->reason.ptr, head->reason.len < 512 ? head->reason.len : 512},
                               .content_length = length,
                               .no_body = head->framing == HTTP_NO_BODY,
                               .end = end,
                               .header = head->header,
                               .n_header = head->n_header,
                               .body = body};
    WireWriter wire = {.data = parked_room(stream->keeper->parked), .room = IPC_MAX_PAYLOAD};
    stream_response_put(&response, &wire);
    if (wire.failed) {
        stream_free(stream);
        return false;
    }
    record_answer(stream, head->status, whole);
    parked_add(stream->keeper->parked, stream, wire.len);
    stream->state = STREAM_ANSWER;
    return true;
}

/* The length that the gate says to the client: of HEAD, 204, 304 whatever the upstream says. */
static uint64_t announced_length(const HttpHead *head)
{
    if (head->framing == HTTP_LENGTH)
        return head->content_length;
    const HttpHeader *length = head->framing == HTTP_NO_BODY ? http_find(head, "Content-Length") : NULL;
    uint64_t value = 0;
    if (!length || length->value.len == 0 || length->value.len > 18)
        return STREAM_UNKNOWN_LENGTH;
    for (size_t i = 0; i < length->value.len; i++) {
        if (length->value.ptr[i] < '0' || length->value.ptr[i] > '9')
            return STREAM_UNKNOWN_LENGTH;
        value = value * 10 + (uint64_t)(length->value.ptr[i] - '0');
    }
    return value;
}

static bool acceptable(const Stream *stream, const HttpHead *head, Refused *refused)
{
    const char *host = stream->host;
    if (head->status == 101)
        return refused_set(refused, REFUSAL_UPSTREAM_INVALID,
                           "%s switched to another protocol, which nobody asked for", host);
    if (head->framing != HTTP_NO_BODY && !head_is_readable(head))
        return refused_set(
            refused, REFUSAL_UPSTREAM_ENCODING,
            "%s answered with a Content-Encoding although none was asked for: purser cannot search it for "
            "credentials",
            host);
    Budget left = stream->grant->budget;
    const Narrowing *narrowing = &stream->decided.narrowing;
    return head->framing != HTTP_LENGTH ||
           (decide_answer(&stream->decided, head->content_length, refused) &&
            decide_budget(budget_spend_received(&left, head->content_length), 0, refused) &&
            decide_narrowed(narrowed_ask_received(&stream->run->narrowed, narrowing, head->content_length),
                            refused));
}

/* What the head says of the provider's own limits. It is searched by now: a limit's name is told to scripts,
 * and stands in sentences, reports and the audit. */
static void note_limits(Stream *stream, const HttpHead *head)
{
    HttpLimits said;
    if (stream->endpoint->use == HOST_ARTIFACT)
        return;
    http_limits(head, clock_wall(), &said);
    stream_land(stream);
    const char *area = stream->decided.graphql ? "graphql" : stream->decided.host ? stream->host : "";
    uint64_t cost =
        limits_note(&stream->upstream->limits, stream->decided.kind, area, &said, head->status, clock_mono());
    if (stream->unpriced)
        budget_spend_cost(&stream->grant->budget, cost);
    stream->unpriced = false;
}

/* Likewise, where nothing of the answer is given, so that nothing has searched it. */
static void note_limits_unseen(Stream *stream, const HttpHead *head, Slice raw)
{
    stream->keeper->opened = true;
    scrub_whole(stream->live->forms, (char *)raw.ptr, raw.len);
    note_limits(stream, head);
}

/* The provider's own clock, once a second: to read it takes as long as to decide a request. Of an answer out
 * of a cache, it is of when that was made. */
static void note_clock(const Stream *stream, const HttpHead *head)
{
    int64_t now = clock_mono();
    if (now < stream->endpoint->clock_due)
        return;
    const HttpHeader *date = http_find(head, "Date");
    char text[64];
    if (!date || date->value.len >= sizeof(text) || stream->endpoint->use == HOST_ARTIFACT ||
        http_find(head, "Age"))
        return;
    memcpy(text, date->value.ptr, date->value.len);
    text[date->value.len] = 0;
    time_t said = curl_getdate(text, NULL);
    stream->endpoint->clock_due = now + CLOCK_SECOND;
    skew_note(&stream->keeper->skew, stream->host, said > 0 ? (int64_t)said * CLOCK_SECOND : 0);
    keeper_mind_clock(stream->keeper);
}

/* Where the API sends the run for a file, it may go: from the API alone, not from one file on to the next.
 * What is noted is what the client gets: a Location in which the token was found has been overwritten by now.
 */
static void note_redirect(Stream *stream, const HttpHead *head)
{
    static Target target;
    const HttpHeader *location = http_find(head, "Location");
    const Source *source = &stream->upstream->source;
    char host[254];
    if (!location || stream->endpoint->use == HOST_ARTIFACT ||
        !redirect_parse(location->value, host, &target))
        return;
    for (uint32_t i = 0; i < source_hosts(source); i++)
        if (source_use(source, i) == HOST_ARTIFACT &&
            host_matches(source_origin(source, i)->host, slice_of(host))) {
            redirect_note(&stream->run->redirects, host, (Slice){target.text, target.len},
                          (uint32_t)(stream->grant - stream->run->grant), &stream->decided.narrowing,
                          clock_mono());
            return;
        }
}

/* The head is whole; `bytes` are those of the body that came with it. True: there is more to come. */
static bool begin(Stream *stream, HttpHead *head, Slice raw, char *bytes, size_t len)
{
    Refused refused;
    note_clock(stream, head);
    if (!acceptable(stream, head, &refused)) {
        note_limits_unseen(stream, head, raw);
        stream_refuse(stream, &refused);
        return false;
    }
    stream->framing = head->framing;
    stream->left = head->framing == HTTP_LENGTH ? head->content_length : 0;
    stream->keep_alive = head->keep_alive;
    stream->chunk = (ChunkReader){0};
    Slice body, out;
    int r = unframe(stream, bytes, len, &body);
    if (r < 0) {
        note_limits_unseen(stream, head, raw);
        request_lost(stream, REFUSAL_UPSTREAM_INVALID, "sent a body that is not what HTTP/1.1 has");
        return false;
    }
    if (clean(stream, &raw, body, r == 1, &out, &refused) != 0) {
        note_limits_unseen(stream, head, raw);
        stream_refuse(stream, &refused);
        return false;
    }
    note_limits(stream, head);
    if (head->status >= 300 && head->status < 400)
        note_redirect(stream, head);
    uint64_t length = announced_length(head);
    head_filter_answer(head);
    bool apart = out.len > FIRST_PIECE, end = r == 1;
    if (!send_head(stream, head, length, apart ? (Slice){"", 0} : out, end && !apart, end) ||
        (apart && !send_data(stream, out, end)))
        return false;
    if (end)
        finish(stream);
    return !end;
}

/* The store has answered: another token now, and the request begins again; or the 401 was meant. */
static void on_read_again(void *context, Held *held)
{
    Stream *stream = context;
    const Live *now = stream->upstream->live;
    (void)held;
    if (now && now != stream->live) {
        request_repeat(stream);
        return;
    }
    stream->state = STREAM_WAITING;
    stream->unread = true;
    TAILQ_INSERT_TAIL(&stream->keeper->unread, stream, turn_link);
}

/* The upstream does not take the token (any more): the store may have a newer one. True: the answer waits. */
static bool ask_store(Stream *stream, size_t have)
{
    Held *held = stream->upstream->held;
    if (stream->asked_store || !held || stream->endpoint->use == HOST_ARTIFACT)
        return false;
    stream->asked_store = true;
    buf_reset(&stream->partial);
    if (!stream->repeatable || stream->graphql ||
        buf_append(&stream->partial, stream->keeper->read_room, have) != 0) {
        held_read_again(held, NULL, NULL);
        return false;
    }
    stream->state = STREAM_ASKING;
    stream->deadline = 0;
    conn_watch_read(stream->conn, false);
    held_read_again(held, on_read_again, stream);
    return true;
}

/* What lies in the room: a head, or the beginning of one. */
static bool take_head(Stream *stream, size_t have)
{
    static HttpHead head;
    char *room = stream->keeper->read_room;
    stream->keeper->read_used = have > stream->keeper->read_used ? have : stream->keeper->read_used;
    size_t at = 0, used = 0;
    int r;
    while ((r = http_parse_response((Slice){room + at, have - at}, stream->method, &head, &used)) == 0 &&
           head.status < 200 && head.status != 101 && ++stream->informational < MAX_INFORMATIONAL)
        at += used;
    if (r == HTTP_E_MORE && have - at < HTTP_MAX_HEAD) {
        buf_reset(&stream->partial);
        return buf_append(&stream->partial, room + at, have - at) == 0;
    }
    if (r || stream->informational >= MAX_INFORMATIONAL) {
        request_lost(stream, REFUSAL_UPSTREAM_INVALID,
                     r == HTTP_E_MORE ? "sent a head without an end"
                     : r              ? http_error_text(r)
                                      : "sent one informational answer after the other");
        return false;
    }
    if (head.status == 401 && ask_store(stream, have))
        return false;
    buf_reset(&stream->partial);
    stream->deadline = clock_mono() + STREAM_ANSWER_US;
    return begin(stream, &head, (Slice){room + at, used}, room + at + used, have - at - used);
}

/* Reads and parses the answer's head. True: the stream is there, and wants what else came. */
static bool read_head(Stream *stream)
{
    char *room = stream->keeper->read_room;
    size_t have = stream->partial.len;
    if (!parked_room(stream->keeper->parked)) /* it stays in its socket until the next turn */
        return false;
    if (have)
        memcpy(room, stream->partial.data, have);
    ssize_t n = conn_read(stream->conn, room + have, READ_HEAD);
    if (n == -EAGAIN)
        return false;
    if (n <= 0) {
        lose(stream, n);
        return false;
    }
    stream->seen = true;
    return take_head(stream, have + (size_t)n);
}

/* As much as there is, up to one piece. *ret_end: 0 more may come, 1 clean end, negative: broken. */
static size_t gather(Stream *stream, int *ret_end)
{
    char *room = stream->keeper->read_room;
    size_t len = 0;
    ssize_t n = 0;
    *ret_end = 0;
    do {
        n = conn_read(stream->conn, room + len, STREAM_PIECE - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < STREAM_PIECE && conn_has_more(stream->conn));
    if (n == 0)
        *ret_end = 1;
    else if (n < 0 && n != -EAGAIN)
        *ret_end = -ECONNRESET;
    if (len > stream->keeper->read_used)
        stream->keeper->read_used = len;
    return len;
}

/* True: the stream is there, and wants what else came. */
static bool read_body(Stream *stream)
{
    int end;
    Slice body, out;
    Refused refused;
    size_t len = gather(stream, &end);
    if (len == 0 && end == 0)
        return false;
    int r = unframe(stream, stream->keeper->read_room, len, &body);
    bool last = r == 1 || (end == 1 && stream->framing == HTTP_UNTIL_CLOSE);
    if (r < 0 || (end && !last)) {
        r < 0 ? request_lost(stream, REFUSAL_UPSTREAM_INVALID, "sent a body that is not what HTTP/1.1 has")
              : lose(stream, end);
        return false;
    }
    stream->deadline = clock_mono() + STREAM_ANSWER_US;
    if (clean(stream, NULL, body, last, &out, &refused) != 0) {
        stream_abort(stream, &refused);
        return false;
    }
    stream->keep_alive &= end == 0;
    if (!send_data(stream, out, last))
        return false;
    if (last)
        finish(stream);
    return !last;
}

/* The gate is slow: so is the upstream, from here on. */
static void stall(Stream *stream)
{
    stream->deadline = 0;
    conn_watch_read(stream->conn, false);
}

void answer_forget_unread(Stream *stream)
{
    if (stream->unread)
        TAILQ_REMOVE(&stream->keeper->unread, stream, turn_link);
    stream->unread = false;
}

void answer_take_unread(Stream *stream)
{
    size_t have = stream->partial.len;
    answer_forget_unread(stream);
    memcpy(stream->keeper->read_room, stream->partial.data, have);
    buf_reset(&stream->partial);
    conn_watch_read(stream->conn, true);
    if (take_head(stream, have) && !stream->parked && conn_has_more(stream->conn))
        stream_readable(stream);
}

void stream_readable(Stream *stream)
{
    bool more;
    do {
        more = stream->state == STREAM_WAITING  ? read_head(stream)
               : stream->state == STREAM_ANSWER ? read_body(stream)
                                                : false;
        if (more && stream->parked) /* the head goes first: answer_go_on() */
            return;
        if (more && stream_blocked(stream)) {
            stall(stream);
            return;
        }
    } while (more && conn_has_more(stream->conn));
}

void answer_go_on(Stream *stream)
{
    if (stream->state != STREAM_ANSWER)
        return;
    if (stream_blocked(stream))
        stall(stream);
    else if (conn_has_more(stream->conn))
        stream_readable(stream);
}
