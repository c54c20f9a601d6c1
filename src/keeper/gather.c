/* GraphQL requests: the body is put together, read, decided, and written anew. See stream.h and
 * graphql-request.h. */
#include "keeper/head.h"
#include "keeper/record.h"
#include "keeper/run.h"
#include "keeper/stream.h"

#define KEPT_ROOM (32u << 10) /* of a stream's room for bodies, between requests */

void gather_release(Stream *stream)
{
    if (stream->gathered.room > KEPT_ROOM)
        buf_done(&stream->gathered);
    else
        buf_reset(&stream->gathered);
    if (stream->out.room > STREAM_MAX_OUT)
        buf_done(&stream->out);
    stream->run->gathered -= stream->charged;
    stream->charged = 0;
}

static bool check_size(const Stream *stream, uint64_t more, Refused *refused)
{
    if (more > GRAPHQL_MAX_BODY - stream->gathered.len)
        return refused_set(refused, REFUSAL_BODY_TOO_LARGE,
                           "the GraphQL request is larger than the %u KiB that purser reads of one",
                           GRAPHQL_MAX_BODY >> 10);
    if (more <= KEEPER_MAX_GATHERED - stream->run->gathered)
        return true;
    refused_set(refused, REFUSAL_BUSY,
                "this run sends more GraphQL requests at a time than purser keeps; try again");
    refused->retry_after = 1;
    return false;
}

static bool add(Stream *stream, Slice piece, bool end, Refused *refused)
{
    if (!stream->chunked && (piece.len > stream->body_left || (end && piece.len != stream->body_left)))
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's body is not what its length says");
    if (!check_size(stream, piece.len, refused) || !request_check_piece(stream, piece, refused))
        return false;
    if (buf_append_slice(&stream->gathered, piece) != 0)
        return refused_set(refused, REFUSAL_INTERNAL, "the request's body cannot be kept");
    stream->body_left -= stream->chunked ? 0 : piece.len;
    stream->run->gathered += piece.len;
    stream->charged += piece.len;
    return true;
}

/* Policy, and what is sent, into `out`. `bytes`: what came. */
static bool decide(Stream *stream, Slice bytes, Buf *out, Refused *refused)
{
    GraphqlChosen chosen;
    bool yes = graphql_take(stream->way, bytes, &chosen, refused);
    if (yes) {
        graphql_summary(&chosen, stream->summary, sizeof(stream->summary));
        const DecideRequest question = run_question(stream->run, NULL, NULL);
        yes = decide_graphql(&question, &stream->decided, &chosen, refused);
        stream->rule = stream->decided.rule;
        if (yes) {
            record_would(stream);
            seen_graphql(stream->run, stream->grant->source, stream->host, &chosen);
        }
    }
    yes = yes && graphql_send(stream->way, &chosen, out, refused);
    graphql_forget();
    return yes;
}

/* The body is whole. */
static bool finish(Stream *stream, Refused *refused)
{
    if (!decide(stream, buf_slice(&stream->gathered), &stream->out, refused))
        return false;
    const StreamRequest framing = {.method = HTTP_POST, .has_body = true, .content_length = stream->out.len};
    if (buf_append_text(&stream->head, "Content-Type: application/json\r\n") != 0)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's headers are too long");
    buf_reset(&stream->gathered);
    stream->chunked = false;
    stream->body_left = 0;
    return head_end(&framing, &stream->head, refused);
}

/* A query in the address: it is decided at once. */
static bool take_query(Stream *stream, const StreamRequest *request, const HttpHead *head, Refused *refused)
{
    static Buf target = BUF_INIT(HTTP_MAX_TARGET);
    Slice path = slice_of(stream->upstream->source.graphql_path);
    Slice query = {request->target.ptr + request->path_len, request->target.len - request->path_len};
    if (query.len)
        query = (Slice){query.ptr + 1, query.len - 1};
    StreamRequest sent = *request;
    buf_reset(&target);
    if (buf_append_slice(&target, path) != 0 || buf_append(&target, "?", 1) != 0)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's target is too long");
    if (!decide(stream, query, &target, refused))
        return false;
    sent.target = buf_slice(&target);
    return head_build(stream->endpoint, stream->host, &sent, head, &stream->head, refused);
}

/* What describes a body that is not sent as it came. */
static void drop_content_headers(HttpHead *head)
{
    size_t n = 0;
    for (size_t i = 0; i < head->n_header; i++)
        if (!slice_starts_nocase(head->header[i].name, "Content-"))
            head->header[n++] = head->header[i];
    head->n_header = n;
}

bool gather_begin(Stream *stream, StreamRequest *request, HttpHead *head, Refused *ret_refused)
{
    Refused *refused = ret_refused;
    stream->override = (OverrideScan){0};
    if (!graphql_way(request, head, &stream->way, refused))
        return false;
    drop_content_headers(head);
    if (stream->way == GRAPHQL_BY_QUERY)
        return take_query(stream, request, head, refused);
    stream->chunked = request->content_length == STREAM_UNKNOWN_LENGTH;
    stream->body_left = stream->chunked ? 0 : request->content_length;
    if (request->body.len > STREAM_PIECE)
        return refused_set(refused, REFUSAL_BAD_REQUEST, "the request's body is not what its length says");
    StreamRequest sent = *request;
    sent.target = slice_of(stream->upstream->source.graphql_path);
    if (!check_size(stream, stream->body_left, refused) ||
        !head_begin(stream->endpoint, stream->host, &sent, head, &stream->head, refused) ||
        !add(stream, request->body, request->end, refused))
        return false;
    if (request->end)
        return finish(stream, refused);
    stream->state = STREAM_GATHERING;
    if (stream->wants_continue && stream_send(stream, IPC_CONTINUE, (Slice){"", 0}) != 0)
        return refused_set(refused, REFUSAL_INTERNAL, "the gate does not take an answer");
    stream->wants_continue = false;
    return true;
}

void gather_body(Stream *stream, Slice piece, bool end)
{
    Refused refused;
    if (end)
        stream->body_open = false;
    if (!add(stream, piece, end, &refused) || (end && !finish(stream, &refused)))
        stream_refuse(stream, &refused);
    else if (end)
        request_dial(stream);
}
