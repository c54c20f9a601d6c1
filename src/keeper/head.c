/* Heads towards the upstream and back. See head.h. */
#include "keeper/head.h"

#include "http/credential.h"

#include <errno.h>

static bool is_token(Slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!http_is_token_char[(unsigned char)name.ptr[i]])
            return false;
    return name.len > 0;
}

static bool is_value(Slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!http_is_value_char[(unsigned char)value.ptr[i]])
            return false;
    return true;
}

static bool may_pass(const Source *source, const HttpHead *head, Slice name)
{
    return !http_is_hop_by_hop(head, name) && !http_is_dropped_request_header(name) &&
           !http_is_credential(name) && !slice_is_nocase(name, "Content-Length") &&
           !slice_is_nocase(name, "Host") && !slice_is_nocase(name, "Range") &&
           !slice_is_nocase(name, "If-Range") && !slice_is_nocase(name, "Accept-Encoding") &&
           !slice_is_nocase(name, "Expect") && !slice_is_nocase(name, "Cookie") &&
           !(source->auth.header[0] && slice_is_nocase(name, source->auth.header));
}

static int put_host(const Origin *origin, const char *host, Buf *out)
{
    bool v6 = strchr(host, ':') != NULL;
    int r = buf_append_text(out, v6 ? "Host: [" : "Host: ");
    r = r ? r : buf_append_text(out, host);
    r = r || !v6 ? r : buf_append(out, "]", 1);
    if (r == 0 && origin->port != (origin->tls ? 443 : 80))
        r = buf_printf(out, ":%u", origin->port);
    return r ? r : buf_append(out, "\r\n", 2);
}

static int put_framing(const StreamRequest *request, Buf *out)
{
    if (!request->has_body)
        return request->method & (HTTP_POST | HTTP_PUT | HTTP_PATCH)
                   ? buf_append_text(out, "Content-Length: 0\r\n")
                   : 0;
    if (request->content_length == STREAM_UNKNOWN_LENGTH)
        return buf_append_text(out, "Transfer-Encoding: chunked\r\n");
    return buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)request->content_length);
}

static int put_headers(const Source *source, const HttpHead *head, Buf *out)
{
    int r = 0;
    for (size_t i = 0; i < head->n_header && r == 0; i++) {
        const HttpHeader *header = &head->header[i];
        if (!is_token(header->name) || !is_value(header->value))
            return -EBADMSG;
        if (!may_pass(source, head, header->name))
            continue;
        r = buf_append_slice(out, header->name);
        r = r ? r : buf_append(out, ": ", 2);
        r = r ? r : buf_append_slice(out, header->value);
        r = r ? r : buf_append(out, "\r\n", 2);
    }
    return r;
}

static bool built(int r, Refused *refused)
{
    return r == 0 ||
           refused_set(refused, REFUSAL_BAD_REQUEST, "the request has headers that cannot be sent on");
}

bool head_begin(const Endpoint *endpoint, const char *host, const StreamRequest *request,
                const HttpHead *head, Buf *out, Refused *ret_refused)
{
    buf_reset(out);
    int r = buf_append_text(out, http_method_text(request->method));
    r = r ? r : buf_append(out, " ", 1);
    r = r ? r : buf_append_slice(out, request->target);
    r = r ? r : buf_append_text(out, " HTTP/1.1\r\n");
    r = r ? r : put_host(endpoint->origin, host, out);
    r = r ? r : buf_append_text(out, "Accept-Encoding: identity\r\n");
    r = r ? r : put_headers(&endpoint->upstream->source, head, out);
    return built(r, ret_refused);
}

bool head_end(const StreamRequest *request, Buf *out, Refused *ret_refused)
{
    return built(put_framing(request, out), ret_refused);
}

bool head_build(const Endpoint *endpoint, const char *host, const StreamRequest *request,
                const HttpHead *head, Buf *out, Refused *ret_refused)
{
    return head_begin(endpoint, host, request, head, out, ret_refused) && head_end(request, out, ret_refused);
}

typedef struct Line { /* in the arena */
    char *at, *end;
    bool full;
} Line;

static void put(Line *line, const char *bytes, size_t len)
{
    if ((size_t)(line->end - line->at) < len) {
        line->full = true;
        return;
    }
    memcpy(line->at, bytes, len);
    line->at += len;
}

static void put_text(Line *line, const char *text)
{
    put(line, text, strlen(text));
}

static int put_token(const Live *live, Line *line)
{
    size_t len = secret_len(live->token);
    if ((size_t)(line->end - line->at) < len) {
        line->full = true;
        return 0;
    }
    int r = secret_open(live->token, line->at, len);
    line->at += r ? 0 : len;
    return r;
}

static int put_basic(const char *user, const Live *live, Line *line)
{
    size_t len = strlen(user) + 1 + secret_len(live->token);
    char *pair = secret_alloc(len);
    if (!pair)
        return -ENOMEM;
    Line plain = {pair, pair + len, false};
    put_text(&plain, user);
    put_text(&plain, ":");
    int r = put_token(live, &plain);
    if (r == 0 && (size_t)(line->end - line->at) > 4 * ((len + 2) / 3))
        line->at += http_base64(line->at, pair, len);
    else
        line->full = true;
    secret_release(pair, len);
    return r;
}

ssize_t head_put_credential(const Endpoint *endpoint, const Live *live, char *out, size_t room)
{
    const Auth *auth = &endpoint->upstream->source.auth;
    Line line = {out, out + room, false};
    int r = 0;
    if (endpoint->use == HOST_ARTIFACT) {
        put_text(&line, "\r\n");
        return line.full ? -ENOBUFS : line.at - out;
    }
    switch (auth->scheme) {
    case AUTH_BASIC:
        put_text(&line, "Authorization: Basic ");
        r = put_basic(auth->user, live, &line);
        break;
    case AUTH_HEADER:
        put_text(&line, auth->header);
        put_text(&line, ": ");
        r = put_token(live, &line);
        break;
    case AUTH_TOKEN:
        put_text(&line, "Authorization: token ");
        r = put_token(live, &line);
        break;
    default:
        put_text(&line, "Authorization: Bearer ");
        r = put_token(live, &line);
        break;
    }
    put_text(&line, "\r\n\r\n");
    return r ? r : line.full ? -ENOBUFS : line.at - out;
}

void head_filter_answer(HttpHead *head)
{
    /* What is hop-by-hop depends on the Connection header, so nothing is taken out before all was asked. */
    bool passes[HTTP_MAX_HEADERS];
    for (size_t i = 0; i < head->n_header; i++) {
        Slice name = head->header[i].name;
        passes[i] = !http_is_hop_by_hop(head, name) && !http_is_dropped_response_header(name) &&
                    !slice_is_nocase(name, "Content-Length");
    }
    size_t n = 0;
    for (size_t i = 0; i < head->n_header; i++)
        if (passes[i])
            head->header[n++] = head->header[i];
    head->n_header = n;
}

bool head_is_readable(const HttpHead *head)
{
    for (size_t i = 0; i < head->n_header; i++)
        if (slice_is_nocase(head->header[i].name, "Content-Encoding") &&
            !slice_is_nocase(head->header[i].value, "identity") && head->header[i].value.len)
            return false;
    return true;
}
