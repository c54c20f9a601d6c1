/* The keeper's records of one answer, written to the client: the head in front of the body's first piece, in
 * place, so that both go out in one write. See client.h.
 */
#include "base/text.h"
#include "gate/client.h"
#include "gate/refuse.h"

#include <errno.h>
#include <stdio.h>

typedef struct HeadWriter {
    char *data;
    size_t room, len;
    bool failed;
} HeadWriter;

static void put(HeadWriter *out, Slice bytes)
{
    if (bytes.len > out->room - out->len) {
        out->failed = true;
        return;
    }
    if (bytes.len)
        memcpy(out->data + out->len, bytes.ptr, bytes.len);
    out->len += bytes.len;
}

static void put_text(HeadWriter *out, const char *text)
{
    put(out, slice_of(text));
}

static void put_number(HeadWriter *out, const char *before, uint64_t number, const char *after)
{
    char digits[24];
    put_text(out, before);
    put_text(out, text_u64(digits, number));
    put_text(out, after);
}

/* What the gate writes by itself, or what would change the message's framing. */
static bool is_ours(Slice name)
{
    if (slice_is_nocase(name, "Content-Length") || slice_is_nocase(name, "Transfer-Encoding") ||
        slice_is_nocase(name, "Connection") || slice_is_nocase(name, "Keep-Alive") ||
        slice_is_nocase(name, "Upgrade") || slice_is_nocase(name, "Trailer"))
        return true;
    return http_is_dropped_response_header(name);
}

/* Absolute links to the source become links to this gate, so that paging stays in base-URL mode: a Location,
 * and of a Link what begins behind `<`. What looks like one within another link, or in quotes, is not
 * touched. */
static void put_links(HeadWriter *out, const Client *client, Slice value, bool location)
{
    bool quoted = false, begins = location;
    while (value.len) {
        size_t own = begins ? links_own_url(client, value) : 0;
        if (own)
            put_text(out, client->prefix);
        else
            put(out, (Slice){value.ptr, own = 1});
        quoted ^= value.ptr[0] == '"';
        begins = !location && !quoted && value.ptr[0] == '<';
        value.ptr += own;
        value.len -= own;
    }
}

static void put_header(HeadWriter *out, const Client *client, const HttpHeader *header)
{
    put(out, header->name);
    put_text(out, ": ");
    bool location = slice_is_nocase(header->name, "Location");
    if (client->prefix[0] && (location || slice_is_nocase(header->name, "Link")))
        put_links(out, client, header->value, location);
    else
        put(out, header->value);
    put_text(out, "\r\n");
}

/* How the client will know where the answer ends; false: it could not. */
static bool choose_framing(Client *client, const StreamResponse *response, uint64_t *ret_length)
{
    Exchange *exchange = &client->exchange;
    *ret_length = client->rewriting ? STREAM_UNKNOWN_LENGTH : response->content_length;
    if (response->no_body) {
        exchange->down = HTTP_NO_BODY;
        if (response->status == 204 || response->status < 200)
            *ret_length = STREAM_UNKNOWN_LENGTH;
    } else if (client->rewriting) {
        exchange->down = HTTP_CHUNKED;
    } else if (response->end || response->content_length != STREAM_UNKNOWN_LENGTH) {
        exchange->down = HTTP_LENGTH;
        if (response->content_length == STREAM_UNKNOWN_LENGTH)
            *ret_length = response->body.len;
        exchange->down_left = *ret_length;
    } else if (!exchange->http10) {
        exchange->down = HTTP_CHUNKED;
    } else {
        exchange->down = HTTP_UNTIL_CLOSE;
        exchange->keep_alive = false;
        /* A unix socket's end cannot be told from its breaking. */
        return !client->unix_socket;
    }
    return true;
}

static void put_head(HeadWriter *out, const Client *client, const StreamResponse *response, uint64_t length)
{
    const Exchange *exchange = &client->exchange;
    put_number(out, "HTTP/1.1 ", response->status, " ");
    put(out, response->reason);
    put_text(out, "\r\n");
    for (size_t i = 0; i < response->n_header; i++)
        if (!is_ours(response->header[i].name))
            put_header(out, client, &response->header[i]);
    if (exchange->down == HTTP_CHUNKED)
        put_text(out, "Transfer-Encoding: chunked\r\n");
    else if (length != STREAM_UNKNOWN_LENGTH)
        put_number(out, "Content-Length: ", length, "\r\n");
    if (!exchange->keep_alive)
        put_text(out, "Connection: close\r\n");
    else if (exchange->http10)
        put_text(out, "Connection: keep-alive\r\n");
    put_text(out, "\r\n");
}

void response_cut_off(Client *client)
{
    client_stream_close(client);
    if (client->exchange.head_sent) {
        client_drop(client, true);
        return;
    }
    const Refusal refusal = {502, "keeper-gone",
                             "purser's keeper broke off; the call may or may not have been made",
                             .close = true};
    refuse(client, &refusal);
}

static void write_out(Client *client, Slice bytes)
{
    if (conn_write(&client->conn, bytes))
        client_drop(client, true);
}

/* Writes `head` and the body's piece behind it. The piece lies in the record's room: what goes before it is
 * copied in front of it, what goes after it behind. */
static void write_piece(Client *client, Slice head, Slice piece, bool end)
{
    static char alone[RESPONSE_FRONT];
    Exchange *exchange = &client->exchange;
    bool chunked = exchange->down == HTTP_CHUNKED;
    char size[20];
    size_t size_len = chunked && piece.len ? chunk_head(size, piece.len) : 0, front = head.len + size_len;
    char *at = piece.len ? (char *)piece.ptr - front : alone;
    if (head.len)
        memcpy(at, head.ptr, head.len);
    memcpy(at + head.len, size, size_len);
    char *tail = at + front + piece.len;
    if (size_len) {
        memcpy(tail, "\r\n", 2);
        tail += 2;
    }
    if (chunked && end) {
        memcpy(tail, CHUNK_END, sizeof(CHUNK_END) - 1);
        tail += sizeof(CHUNK_END) - 1;
    }
    write_out(client, (Slice){at, (size_t)(tail - at)});
}

_Static_assert(RESPONSE_FRONT + IPC_MAX_PAYLOAD + PAGING_GROWTH + RESPONSE_BACK <= CONN_MAX_OUT,
               "what a client does not take now can wait");

/* The body's piece as the client is to have it, with room around it as write_piece() needs: the record's own,
 * or this. */
static Slice rewrite(Client *client, Slice piece, bool end)
{
    static char room[RESPONSE_FRONT + IPC_MAX_PAYLOAD + PAGING_GROWTH + RESPONSE_BACK];
    if (!client->rewriting)
        return piece;
    return paging_piece(client->paging, piece, end, room + RESPONSE_FRONT);
}

static void complete(Client *client)
{
    if (client->state != CLIENT_EXCHANGE)
        return;
    client->stream_readable = false; /* the keeper says nothing more before the next request */
    if (client->exchange.keep_alive && client->exchange.up_done)
        client_become(client, CLIENT_HEAD);
    else
        client_finish(client);
}

/* Counts a piece against the length that was announced; false: it does not fit. */
static bool count(Exchange *exchange, size_t len, bool end)
{
    if (exchange->down == HTTP_NO_BODY)
        return len == 0;
    if (exchange->down != HTTP_LENGTH)
        return true;
    if (len > exchange->down_left)
        return false;
    exchange->down_left -= len;
    return !end || exchange->down_left == 0;
}

static void take_response(Client *client, Slice payload)
{
    static HttpHeader room[HTTP_MAX_HEADERS];
    static char head[RESPONSE_FRONT - 64]; /* a chunk's size goes behind it */
    Exchange *exchange = &client->exchange;
    StreamResponse response;
    uint64_t length;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    if (exchange->head_sent || stream_response_get(&wire, room, &response)) {
        response_cut_off(client);
        return;
    }
    /* An answer before the request's end: the rest of the request is not waited for. */
    exchange->keep_alive = exchange->keep_alive && exchange->up_done;
    links_begin(client, &response);
    if (client->rewriting && response.end &&
        !response.no_body) { /* all of it is here, so its length is known */
        response.body = rewrite(client, response.body, true);
        response.content_length = response.body.len;
        client->rewriting = false;
    }
    if (!choose_framing(client, &response, &length)) {
        const Refusal refusal = {505, "http10-length",
                                 "the answer's length is not known beforehand, which HTTP/1.0 "
                                 "cannot carry over a unix socket: use HTTP/1.1",
                                 .close = true};
        refuse_recorded(client, NULL, "", &refusal);
        return;
    }
    HeadWriter out = {.data = head, .room = sizeof(head)};
    put_head(&out, client, &response, length);
    if (out.failed || !count(exchange, response.body.len, response.end)) {
        response_cut_off(client);
        return;
    }
    exchange->head_sent = true;
    write_piece(client, (Slice){head, out.len}, rewrite(client, response.body, response.end), response.end);
    if (response.end)
        complete(client);
}

static void take_data(Client *client, Slice payload, bool end)
{
    Exchange *exchange = &client->exchange;
    if (!exchange->head_sent || !count(exchange, payload.len, end)) {
        response_cut_off(client);
        return;
    }
    Slice piece = rewrite(client, payload, end);
    if (piece.len || end)
        write_piece(client, (Slice){"", 0}, piece, end);
    if (end)
        complete(client);
}

static void take_refusal(Client *client, Slice payload)
{
    char code[32], sentence[1025];
    StreamRefuse given;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    if (client->exchange.head_sent || stream_refuse_get(&wire, &given)) {
        response_cut_off(client);
        return;
    }
    snprintf(code, sizeof(code), "%.*s", (int)given.code.len, given.code.ptr);
    snprintf(sentence, sizeof(sentence), "%.*s", (int)given.sentence.len, given.sentence.ptr);
    client->stream_readable = false;
    const Refusal refusal = {given.status,
                             code,
                             sentence,
                             .retry_after = given.retry_after,
                             .close = given.close,
                             .graphql = given.graphql};
    refuse(client, &refusal);
}

void response_take(Client *client, const IpcRecord *record)
{
    switch (record->type) {
    case IPC_CONTINUE:
        if (client->exchange.expects && !client->exchange.head_sent && !client->exchange.http10)
            write_out(client, SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n"));
        client->exchange.expects = false;
        break;
    case IPC_RESPONSE:
        take_response(client, record->payload);
        break;
    case IPC_DATA:
    case IPC_DATA_END:
        take_data(client, record->payload, record->type == IPC_DATA_END);
        break;
    case IPC_REFUSE:
        take_refusal(client, record->payload);
        break;
    default: /* IPC_ABORT, and what no keeper sends here */
        client_drop(client, true);
    }
}
