/* Requests and answers between gate and keeper. See stream.h. */
#include "ipc/stream.h"

#include <errno.h>

static void put_headers(WireWriter *wire, const HttpHeader *header, size_t n)
{
    wire_put_u32(wire, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        wire_put_slice(wire, header[i].name);
        wire_put_slice(wire, header[i].value);
    }
}

static size_t get_headers(WireReader *wire, HttpHeader *room)
{
    uint32_t n = wire_get_u32(wire);
    if (n > HTTP_MAX_HEADERS) {
        wire->failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        room[i].name = wire_get_slice(wire, HTTP_MAX_HEAD);
        room[i].value = wire_get_slice(wire, HTTP_MAX_HEAD);
    }
    return wire->failed ? 0 : n;
}

void stream_request_put(const StreamRequest *request, WireWriter *wire)
{
    wire_put_u32(wire, request->source);
    wire_put_u32(wire, request->host);
    wire_put_slice(wire, request->host_name);
    wire_put_u32(wire, request->method);
    wire_put_slice(wire, request->method_text);
    wire_put_slice(wire, request->target);
    wire_put_u32(wire, request->path_len);
    wire_put_u8(wire, request->expect_continue);
    wire_put_u8(wire, request->has_body);
    wire_put_u8(wire, request->end);
    wire_put_u64(wire, request->content_length);
    wire_put_slice(wire, request->credential);
    put_headers(wire, request->header, request->n_header);
    wire_put_slice(wire, request->body);
}

int stream_request_get(WireReader *wire, HttpHeader *room, StreamRequest *ret_request)
{
    StreamRequest request = {.source = wire_get_u32(wire)};
    request.host = wire_get_u32(wire);
    request.host_name = wire_get_slice(wire, 253);
    request.method = wire_get_u32(wire);
    request.method_text = wire_get_slice(wire, 64);
    request.target = wire_get_slice(wire, HTTP_MAX_TARGET);
    request.path_len = wire_get_u32(wire);
    request.expect_continue = wire_get_bool(wire);
    request.has_body = wire_get_bool(wire);
    request.end = wire_get_bool(wire);
    request.content_length = wire_get_u64(wire);
    request.credential = wire_get_slice(wire, 2048);
    request.header = room;
    request.n_header = get_headers(wire, room);
    request.body = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    if (wire_finish(wire) || request.path_len > request.target.len || (!request.has_body && request.body.len))
        return -EBADMSG;
    *ret_request = request;
    return 0;
}

void stream_lease_ask_put(const StreamLeaseAsk *ask, WireWriter *wire)
{
    wire_put_u8(wire, ask->what);
    wire_put_slice(wire, ask->credential);
}

int stream_lease_ask_get(WireReader *wire, StreamLeaseAsk *ret_ask)
{
    StreamLeaseAsk ask = {.what = wire_get_u8(wire), .credential = wire_get_slice(wire, 2048)};
    if (wire_finish(wire) || ask.what > STREAM_LEASE_REVOKE)
        return -EBADMSG;
    *ret_ask = ask;
    return 0;
}

void stream_response_put(const StreamResponse *response, WireWriter *wire)
{
    wire_put_u16(wire, response->status);
    wire_put_slice(wire, response->reason);
    wire_put_u64(wire, response->content_length);
    wire_put_u8(wire, response->no_body);
    wire_put_u8(wire, response->end);
    put_headers(wire, response->header, response->n_header);
    wire_put_slice(wire, response->body);
}

int stream_response_get(WireReader *wire, HttpHeader *room, StreamResponse *ret_response)
{
    StreamResponse response = {.status = wire_get_u16(wire), .reason = wire_get_slice(wire, 1024)};
    response.content_length = wire_get_u64(wire);
    response.no_body = wire_get_bool(wire);
    response.end = wire_get_bool(wire);
    response.header = room;
    response.n_header = get_headers(wire, room);
    response.body = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    if (wire_finish(wire) || response.status < 100 || response.status > 999 ||
        (response.no_body && response.body.len))
        return -EBADMSG;
    *ret_response = response;
    return 0;
}

void stream_refuse_put(const StreamRefuse *refuse, WireWriter *wire)
{
    wire_put_u16(wire, refuse->status);
    wire_put_slice(wire, refuse->code);
    wire_put_slice(wire, refuse->sentence);
    wire_put_u32(wire, refuse->retry_after);
    wire_put_u8(wire, refuse->close);
    wire_put_u8(wire, refuse->graphql);
}

int stream_refuse_get(WireReader *wire, StreamRefuse *ret_refuse)
{
    StreamRefuse refuse = {.status = wire_get_u16(wire)};
    refuse.code = wire_get_slice(wire, 31);
    refuse.sentence = wire_get_slice(wire, 1024);
    refuse.retry_after = wire_get_u32(wire);
    refuse.close = wire_get_bool(wire);
    refuse.graphql = wire_get_bool(wire);
    if (wire_finish(wire) || refuse.status < 400 || refuse.status > 599)
        return -EBADMSG;
    *ret_refuse = refuse;
    return 0;
}
