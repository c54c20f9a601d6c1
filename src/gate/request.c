/* A request's head: read, checked, made into a StreamRequest and sent to the keeper. See client.h. */
#include "base/clock.h"
#include "gate/client.h"
#include "gate/refuse.h"
#include "http/credential.h"
#include "http/target.h"

#include <errno.h>

#define HEAD_TIME     (15 * (int64_t)CLOCK_SECOND)
#define TLS_HANDSHAKE 0x16        /* first byte of a ClientHello's record: no head begins so */
#define FIRST_PIECE   (16u << 10) /* of the body beside the head: together they fit one record */
_Static_assert(HTTP_MAX_HEAD + HTTP_MAX_HEADERS * 8 + HTTP_MAX_CREDENTIAL + FIRST_PIECE + 1024 <
                   IPC_MAX_PAYLOAD,
               "any request fits one record");

/* One thread, and nothing here outlives a step. */
static HttpHead head;
static Target target;
static char credential[HTTP_MAX_CREDENTIAL];
static char whole_target[HTTP_MAX_TARGET + 1];

static void refuse_head(Client *client, int status, const char *code, const char *sentence)
{
    const Refusal refusal = {.status = status, .code = code, .sentence = sentence};
    refuse_recorded(client, &head, client->authority, &refusal);
}

static void refuse_unreadable(Client *client, int error)
{
    Slice bytes = buf_slice(&client->conn.in);
    Refusal refusal = {http_error_status(error), "bad-request", http_error_text(error), .close = true};
    if (slice_starts(bytes, "PRI * HTTP/2.0"))
        refusal =
            (Refusal){505, "http2", "HTTP/2 is not spoken here: have the client use HTTP/1.1", .close = true};
    else if (bytes.ptr[0] == TLS_HANDSHAKE)
        refusal =
            (Refusal){400, "tls-on-plain-port",
                      "TLS came to the proxy's own port: the proxy's URL begins with http://", .close = true};
    refuse_recorded(client, NULL, client->authority, &refusal);
}

/* Inside TLS: the Host is the CONNECT's (promise 6). */
static bool check_host(Client *client)
{
    char name[254];
    uint16_t port;
    Fault fault;
    if (head.host.len == 0 && head.minor == 0)
        return true;
    if (!target_parse_authority(head.host, 443, name, &port, &fault) && port == client->host->port &&
        strcmp(name, client->authority) == 0)
        return true;
    fault_set(&fault, 0, "the request's Host is not %s:%u, which this connection was made to",
              client->authority, client->host->port);
    refuse_head(client, 421, "host-mismatch", fault.text);
    return false;
}

/* "http://HOST/SOURCE", as the client has it. */
static void note_prefix(Client *client, const char *source)
{
    Slice name = slice_of(source), start = SLICE_LITERAL("http://");
    if (head.host.len == 0 || start.len + head.host.len + 1 + name.len >= sizeof(client->prefix))
        return;
    char *at = mempcpy(client->prefix, start.ptr, start.len);
    at = mempcpy(at, head.host.ptr, head.host.len);
    *at++ = '/';
    at = mempcpy(at, name.ptr, name.len);
    *at = '\0';
}

/* Base-URL mode: the first segment names the source; the rest goes behind its base. */
static Place named_place(Client *client, Slice *raw)
{
    Slice path = {raw->ptr + 1, raw->len - 1};
    size_t n = 0;
    while (n < path.len && path.ptr[n] != '/' && path.ptr[n] != '?')
        n++;
    Place place = host_list_named(&client->gate->hosts, (Slice){path.ptr, n});
    if (!place.source) {
        Fault fault;
        fault_set(&fault, 0, "the first part of the path must name a source of retriever %s: /%s/...",
                  client->gate->setup.retriever,
                  client->gate->n_source ? client->gate->source[0].record.source.name : "SOURCE");
        refuse_head(client, 404, "unknown-source", fault.text);
        return place;
    }
    *raw = (Slice){path.ptr + n, path.len - n};
    if (place.host == 0)
        note_prefix(client, place.source->record.source.name);
    return place;
}

/* "/github", "/github?page=2": nothing of a path behind the source's name. */
static bool is_bare(Slice raw)
{
    return raw.len == 0 || raw.ptr[0] == '?';
}

static bool normalise(Client *client, Place place, Slice raw)
{
    static char rooted[HTTP_MAX_TARGET + 1];
    Fault fault;
    if (place.source && is_bare(raw)) {
        if (raw.len >= HTTP_MAX_TARGET) {
            refuse_head(client, 414, "target-too-long", "the request's target is too long");
            return false;
        }
        rooted[0] = '/';
        memcpy(rooted + 1, raw.ptr, raw.len);
        raw = (Slice){rooted, raw.len + 1};
    }
    if (!target_normalise_slashes(raw, &target, &fault))
        return true;
    refuse_head(client, 400, "bad-target", fault.text);
    return false;
}

/* An address of a file, as the API has redirected to it. */
static bool normalise_whole(Client *client, Slice raw)
{
    Fault fault;
    if (!target_normalise_whole(raw, &target, &fault))
        return true;
    refuse_head(client, 400, "bad-target", fault.text);
    return false;
}

/* An encoded slash is for sources that are known to take it as part of a segment. */
static bool check_slashes(Client *client, Place place)
{
    Fault fault;
    static Target again;
    if (source_takes_slashes(&place.source->record.source, place.host) ||
        !target_has_slashes(target_path(&target)) || !target_normalise(target_path(&target), &again, &fault))
        return true;
    refuse_head(client, 400, "bad-target", fault.text);
    return false;
}

static bool find_credential(Client *client, const RunSourceInfo *source, Slice raw, Slice *ret_credential)
{
    Slice path, query;
    size_t len = 0;
    slice_cut(raw, '?', &path, &query);
    int r = http_find_credential(&head, slice_of(source->record.source.auth.header), query, credential, &len);
    *ret_credential = (Slice){credential, r ? 0 : len};
    if (r == HTTP_CREDENTIAL_MANY)
        refuse_head(client, 400, "credential-many", "the request carries two different credentials");
    else if (r && r != HTTP_CREDENTIAL_NONE)
        refuse_head(client, 400, "credential-bad", "the request's credential cannot be decoded");
    return !r || r == HTTP_CREDENTIAL_NONE;
}

static size_t keep_headers(const RunSourceInfo *source, HttpHeader *kept)
{
    const char *own = source->record.source.auth.header;
    size_t n = 0;
    for (size_t i = 0; i < head.n_header; i++) {
        Slice name = head.header[i].name;
        if (!http_is_hop_by_hop(&head, name) && !http_is_dropped_request_header(name) &&
            !slice_is_nocase(name, "Content-Length") && !(own[0] && slice_is_nocase(name, own)))
            kept[n++] = head.header[i];
    }
    return n;
}

/* Sends the request with as much of its body as is there. Returns how much of `after` that was. */
static size_t send_request(Client *client, StreamRequest *request, Slice after)
{
    static unsigned char room[IPC_MAX_PAYLOAD];
    Exchange *exchange = &client->exchange;
    Slice input = after;
    if (exchange_piece(exchange, &input, FIRST_PIECE, &request->body)) {
        refuse_head(client, 400, "bad-request", "the request's chunks are broken");
        return 0;
    }
    request->end = exchange->up_last;
    WireWriter wire = WIRE_WRITER(room);
    stream_request_put(request, &wire);
    int r = wire.failed ? -EMSGSIZE
                        : client_stream_send(client, IPC_REQUEST, (Slice){(const char *)room, wire.len});
    if (r == 0) {
        exchange->up_done = exchange->up_last;
        client_become(client, CLIENT_EXCHANGE);
    } else if (r == -EAGAIN) {
        const Refusal refusal = {503, "keeper-busy", "purser's keeper does not keep up; try again",
                                 .retry_after = 1, .close = true};
        refuse(client, &refusal);
    } else {
        const Refusal refusal = {502, "keeper-gone", "purser's keeper is not there; the call was not made",
                                 .close = true};
        refuse(client, &refusal);
    }
    return after.len - input.len;
}

/* Base-URL mode: what stands before the rest of the target. Of a GraphQL endpoint that is all of it; and the
 * source's name alone (`bare`) is its base alone, without a slash. */
static bool put_base(Client *client, Place place, bool bare, StreamRequest *request)
{
    const Source *source = &place.source->record.source;
    Slice base = slice_of(place.graphql ? source->graphql_path : source_origin(source, place.host)->base);
    Slice rest = {target.text, target.len};
    size_t path = target.path_len;
    if (path == 1 && base.len && (place.graphql || bare))
        rest = (Slice){rest.ptr + 1, rest.len - 1}, path = 0;
    if (base.len + rest.len >= sizeof(whole_target)) {
        refuse_head(client, 414, "target-too-long", "the request's target is too long");
        return false;
    }
    memcpy(mempcpy(whole_target, base.ptr, base.len), rest.ptr, rest.len);
    request->target = (Slice){whole_target, base.len + rest.len};
    request->path_len = (uint32_t)(base.len + path);
    return true;
}

/* A host that a pattern stands for is sent no token, so nothing is looked for, and its query is its own. */
static bool takes_lease(const Client *client, Place place)
{
    return !client->host || source_use(&place.source->record.source, place.host) != HOST_ARTIFACT;
}

static size_t forward(Client *client, Place place, Slice raw, Slice after)
{
    static HttpHeader kept[HTTP_MAX_HEADERS];
    Slice lease = {"", 0};
    if (!normalise(client, place, raw))
        return 0;
    if (!place.source)
        place = host_list_place(&client->gate->hosts, client->host, target_path(&target), lease);
    if (takes_lease(client, place) ? !find_credential(client, place.source, raw, &lease)
                                   : !normalise_whole(client, raw))
        return 0;
    StreamRequest request = {.path_len = (uint32_t)target.path_len, .target = {target.text, target.len}};
    if (client->host)
        place = host_list_place(&client->gate->hosts, client->host, target_path(&target), lease);
    else if (!put_base(client, place, is_bare(raw), &request))
        return 0;
    if (!check_slashes(client, place))
        return 0;
    RunSourceInfo *source = place.source;
    client->source = source;
    request.source = source->record.index;
    request.host = place.host;
    request.host_name = slice_of(client->authority);
    request.method = head.method;
    request.method_text = head.method_text;
    request.credential = lease;
    request.header = kept;
    request.n_header = keep_headers(source, kept);
    request.has_body = head.framing != HTTP_NO_BODY && !client->exchange.up_done;
    request.expect_continue = request.has_body && head.expect_continue;
    request.content_length = head.framing == HTTP_CHUNKED  ? STREAM_UNKNOWN_LENGTH
                             : head.framing == HTTP_LENGTH ? head.content_length
                                                           : 0;
    client->exchange.expects = request.expect_continue;
    size_t used = send_request(client, &request, after);
    explicit_bzero(credential, sizeof(credential));
    return used;
}

/* A whole head: answers it or sends it on. Returns how much of what follows the head was used. */
static size_t handle(Client *client, size_t used)
{
    Slice raw = head.target, bytes = buf_slice(&client->conn.in);
    Slice after = {bytes.ptr + used, bytes.len - used};
    bool empty = head.framing == HTTP_NO_BODY || (head.framing == HTTP_LENGTH && head.content_length == 0);
    client->exchange = (Exchange){
        .method = head.method,
        .http10 = head.minor == 0,
        .keep_alive = head.keep_alive,
        .up = head.framing,
        .up_left = head.content_length,
        .up_last = empty,
        .up_done = empty,
    };
    client->prefix[0] = '\0';
    if (head.method == HTTP_CONNECT) {
        proxy_connect(client, &head);
        return 0;
    }
    if (head.upgrade) {
        refuse_head(client, 501, "upgrade",
                    "Upgrade, WebSocket and h2c are not spoken here: have the client use plain HTTP/1.1");
        return 0;
    }
    if (client->host)
        return check_host(client) ? forward(client, (Place){0}, raw, after) : 0;
    if (raw.len && raw.ptr[0] != '/' && !proxy_absolute(client, &head, &raw))
        return 0;
    if (raw.len == 0 || raw.ptr[0] != '/') {
        refuse_head(client, 400, "bad-target", "the request's target is no path");
        return 0;
    }
    if (client->unix_socket && slice_starts(raw, LEASE_CALLS)) {
        lease_call(client, &head, raw);
        return 0;
    }
    Place place = named_place(client, &raw);
    return place.source ? forward(client, place, raw, after) : 0;
}

/* Whether a head may have ended: only then it is parsed, so that a byte at a time costs no more than all at
 * once. */
static bool line_ended(Client *client)
{
    const Buf *in = &client->conn.in;
    bool ended =
        in->len > client->scanned && memchr(in->data + client->scanned, '\n', in->len - client->scanned);
    client->scanned = in->len;
    return ended;
}

static void no_more(Client *client, int error)
{
    if (error != -ENODATA || client->conn.in.len == 0)
        client_drop(client, error != -ENODATA);
    else {
        const Refusal refusal = {400, "bad-request", "the request's head ends in the middle", .close = true};
        refuse_recorded(client, NULL, client->authority, &refusal);
    }
}

bool request_step_head(Client *client)
{
    Conn *conn = &client->conn;
    int r = client_flush(client);
    if (r == -EAGAIN)
        return false;
    while (!r) {
        size_t used;
        int error = line_ended(client) ? http_parse_request(buf_slice(&conn->in), &head, &used) : HTTP_E_MORE;
        if (error == HTTP_E_MORE && conn->in.len && conn->in.data[0] == TLS_HANDSHAKE)
            error = HTTP_E_START_LINE;
        if (error == HTTP_E_MORE && conn->in.len >= HTTP_MAX_HEAD)
            error = HTTP_E_HEAD_TOO_LARGE;
        if (error && error != HTTP_E_MORE) {
            refuse_unreadable(client, error);
            return true;
        }
        if (!error) {
            used += handle(client, used);
            buf_consume(&conn->in, used);
            return true;
        }
        if (conn->in.len && !client->exchange.started) {
            client->exchange.started = true;
            client->deadline = clock_mono() + HEAD_TIME;
        }
        r = conn_fill(conn, CONN_MAX_IN);
        if (r == -EAGAIN)
            return false;
    }
    no_more(client, r);
    return true;
}
