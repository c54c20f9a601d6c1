/* Strict HTTP/1.1 heads. See head.h. One pass over the lines; nothing is copied. */
#include "http/head.h"

#include "http/names.h"

#include <stdbool.h>

/* RFC 9110, 5.6.2: token characters. */
const bool http_is_token_char[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* RFC 9110, 5.5: what a field value may hold: visible ASCII, space, tab, obs-text. */
const bool http_is_value_char[256] = {['\t'] = 1, [' ' ... '~'] = 1, [128 ... 255] = 1};

static bool all_of(Slice text, const bool table[256])
{
    for (size_t i = 0; i < text.len; i++)
        if (!table[(unsigned char)text.ptr[i]])
            return false;
    return true;
}

/* The next line, without its CRLF. HTTP_E_MORE when its end is not there; HTTP_E_LINE_END for a bare LF. A CR
 * inside the line is found by whoever looks at its characters, none of which may be one; see refused(). */
static int next_line(Slice *rest, Slice *ret_line)
{
    const char *lf = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!lf)
        return HTTP_E_MORE;
    if (lf == rest->ptr || lf[-1] != '\r')
        return HTTP_E_LINE_END;
    size_t seen = (size_t)(lf - rest->ptr);
    *ret_line = (Slice){rest->ptr, seen - 1};
    *rest = (Slice){lf + 1, rest->len - seen - 1};
    return 0;
}

/* Why a line is refused: a bare CR in it says more than what it was taken for. */
static int refused(Slice line, int error)
{
    return line.len && memchr(line.ptr, '\r', line.len) ? HTTP_E_LINE_END : error;
}

/* Whether a comma-separated list names a token; each element is trimmed. */
static bool list_has(Slice list, Slice name)
{
    for (Slice element; list.len;) {
        slice_cut(list, ',', &element, &list);
        if (slice_equal_nocase(slice_trim(element), name))
            return true;
    }
    return false;
}

static int parse_length(Slice value, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (value.len == 0 || value.len > 19)
        return HTTP_E_LENGTH;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return HTTP_E_LENGTH;
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (value.len > 1 && value.ptr[0] == '0')
        return HTTP_E_LENGTH;
    *ret_length = length;
    return 0;
}

typedef struct Framing {
    bool length, coding, host, close, keep_alive;
} Framing;

/* What this header says about the message itself. Most are told apart by their length and first letter alone.
 */
static int note_header(HttpHead *head, const HttpHeader *header, Framing *seen)
{
    Slice name = header->name, value = header->value;
    switch (name.len) {
    case 4:
        if (slice_is_nocase(name, "host")) {
            if (seen->host)
                return HTTP_E_HOST;
            seen->host = true;
            head->host = value;
        }
        break;
    case 6:
        if (slice_is_nocase(name, "expect"))
            head->expect_continue |= slice_is_nocase(value, "100-continue");
        break;
    case 7:
        if (slice_is_nocase(name, "upgrade"))
            head->upgrade = true;
        break;
    case 10:
        if (slice_is_nocase(name, "connection")) {
            seen->close |= list_has(value, SLICE_LITERAL("close"));
            seen->keep_alive |= list_has(value, SLICE_LITERAL("keep-alive"));
            head->upgrade |= list_has(value, SLICE_LITERAL("upgrade"));
        }
        break;
    case 14:
        if (slice_is_nocase(name, "content-length")) {
            if (seen->length)
                return HTTP_E_LENGTH;
            seen->length = true;
            return parse_length(value, &head->content_length);
        }
        break;
    case 17:
        if (slice_is_nocase(name, "transfer-encoding")) {
            if (seen->coding || !slice_is_nocase(value, "chunked"))
                return HTTP_E_CODING;
            seen->coding = true;
        }
        break;
    default:
        break;
    }
    return 0;
}

static int parse_header(Slice line, HttpHeader *ret_header)
{
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return HTTP_E_FOLD;
    size_t n = 0; /* of the name: the colon is not a token character, nor is a space before it */
    while (n < line.len && http_is_token_char[(unsigned char)line.ptr[n]])
        n++;
    if (n == 0 || n == line.len || line.ptr[n] != ':')
        return refused(line, HTTP_E_HEADER);
    Slice value = {line.ptr + n + 1, line.len - n - 1};
    if (!all_of(value, http_is_value_char))
        return refused(line, HTTP_E_HEADER);
    *ret_header = (HttpHeader){{line.ptr, n}, slice_trim(value)};
    return 0;
}

static int parse_headers(Slice *rest, HttpHead *head, Framing *seen)
{
    for (;;) {
        Slice line;
        int r = next_line(rest, &line);
        if (r)
            return r;
        if (line.len == 0)
            return 0;
        if (head->n_header == HTTP_MAX_HEADERS)
            return HTTP_E_TOO_MANY_HEADERS;
        HttpHeader *header = &head->header[head->n_header];
        if ((r = parse_header(line, header)) || (r = note_header(head, header, seen)))
            return r;
        head->n_header++;
    }
}

static int settle_framing(HttpHead *head, const Framing *seen)
{
    if (seen->coding && head->minor == 0)
        return HTTP_E_CODING;
    if (seen->coding && seen->length)
        return HTTP_E_LENGTH;
    head->framing = seen->coding ? HTTP_CHUNKED : seen->length ? HTTP_LENGTH : HTTP_NO_BODY;
    head->keep_alive = head->minor == 1 ? !seen->close : seen->keep_alive && !seen->close;
    head->expect_continue &= head->minor == 1; /* RFC 9110, 10.1.1: not from HTTP/1.0 */
    return 0;
}

/* A Host is a host and perhaps a port: nothing that a URL could hide behind. */
static bool is_host_value(Slice host)
{
    if (host.len == 0 || host.len > 270)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool sound =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(".-_:[]", c);
        if (!sound)
            return false;
    }
    return true;
}

static int parse_version(Slice text, int *ret_minor)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0)
        return HTTP_E_START_LINE;
    if (memcmp(text.ptr + 5, "1.1", 3) != 0 && memcmp(text.ptr + 5, "1.0", 3) != 0)
        return HTTP_E_VERSION;
    *ret_minor = text.ptr[7] - '0';
    return 0;
}

static int parse_request_line(Slice line, HttpHead *head)
{
    Slice rest, version;
    if (!slice_cut(line, ' ', &head->method_text, &rest) || head->method_text.len == 0 ||
        head->method_text.len > 32 || !all_of(head->method_text, http_is_token_char))
        return HTTP_E_START_LINE;
    if (!slice_cut(rest, ' ', &head->target, &version) || head->target.len == 0)
        return HTTP_E_START_LINE;
    if (head->target.len > HTTP_MAX_TARGET)
        return HTTP_E_TARGET_TOO_LONG;
    for (size_t i = 0; i < head->target.len; i++)
        if (head->target.ptr[i] <= ' ' || head->target.ptr[i] >= 0x7F)
            return HTTP_E_START_LINE;
    head->method = http_method(head->method_text);
    return parse_version(version, &head->minor);
}

/* HTTP_E_MORE, unless so much has come already that no more will help. */
static int more(Slice bytes, int r)
{
    return r == HTTP_E_MORE && bytes.len >= HTTP_MAX_HEAD ? HTTP_E_HEAD_TOO_LARGE : r;
}

static int bound(Slice bytes, Slice rest)
{
    return bytes.len - rest.len > HTTP_MAX_HEAD ? HTTP_E_HEAD_TOO_LARGE : 0;
}

/* All but the headers themselves, of which only the first n_header are ever looked at. */
static void begin(HttpHead *head)
{
    memset(head, 0, offsetof(HttpHead, header));
    memset(&head->n_header, 0, sizeof(*head) - offsetof(HttpHead, n_header));
    head->method_text = head->target = head->reason = head->host = (Slice){"", 0};
}

int http_parse_request(Slice bytes, HttpHead *ret_head, size_t *ret_used)
{
    Slice rest = bytes, line;
    Framing seen = {0};
    HttpHead *head = ret_head;
    begin(head);
    int r = next_line(&rest, &line);
    if (r == HTTP_E_MORE && bytes.len > HTTP_MAX_TARGET + 64)
        return HTTP_E_TARGET_TOO_LONG;
    if (r || (r = parse_request_line(line, head)))
        return r == HTTP_E_START_LINE ? refused(line, r) : r;
    if ((r = parse_headers(&rest, head, &seen)) || (r = bound(bytes, rest)) ||
        (r = settle_framing(head, &seen)))
        return more(bytes, r);
    if ((seen.host && !is_host_value(head->host)) || (!seen.host && head->minor == 1))
        return HTTP_E_HOST;
    *ret_used = bytes.len - rest.len;
    return 0;
}

static int parse_status_line(Slice line, HttpHead *head)
{
    Slice version, rest, status;
    slice_cut(line, ' ', &version, &rest);
    int r = parse_version(version, &head->minor);
    if (r)
        return r;
    slice_cut(rest, ' ', &status, &head->reason);
    if (status.len != 3 || !all_of(head->reason, http_is_value_char))
        return HTTP_E_START_LINE;
    for (size_t i = 0; i < 3; i++) {
        if (status.ptr[i] < '0' || status.ptr[i] > '9')
            return HTTP_E_START_LINE;
        head->status = head->status * 10 + (status.ptr[i] - '0');
    }
    return head->status < 100 ? HTTP_E_START_LINE : 0;
}

static int settle_response(HttpHead *head, uint32_t method, const Framing *seen)
{
    int status = head->status;
    bool never_a_body = status < 200 || status == 204; /* nor a length: RFC 9110, 8.6; RFC 9112, 6.1 */
    bool tunnel = method == HTTP_CONNECT && status >= 200 && status < 300;
    if (never_a_body && (seen->coding || head->content_length)) {
        if (status < 200) /* the bytes of a body here would be taken for the answer that follows */
            return HTTP_E_LENGTH;
        head->keep_alive = false;
    }
    if (method == HTTP_HEAD || never_a_body || tunnel || status == 304) {
        head->framing = HTTP_NO_BODY;
        if (!seen->length)
            head->content_length = UINT64_MAX; /* what HEAD's or 304's answer says of a length, if it does */
    } else if (head->framing == HTTP_NO_BODY) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return 0;
}

int http_parse_response(Slice bytes, uint32_t method, HttpHead *ret_head, size_t *ret_used)
{
    Slice rest = bytes, line;
    Framing seen = {0};
    HttpHead *head = ret_head;
    begin(head);
    int r = next_line(&rest, &line);
    if (r == 0 && (r = parse_status_line(line, head)) != 0)
        return r == HTTP_E_START_LINE ? refused(line, r) : r;
    if (r || (r = parse_headers(&rest, head, &seen)) || (r = bound(bytes, rest)) ||
        (r = settle_framing(head, &seen)) || (r = settle_response(head, method, &seen)))
        return more(bytes, r);
    *ret_used = bytes.len - rest.len;
    return 0;
}

const HttpHeader *http_find(const HttpHead *head, const char *name)
{
    Slice wanted = slice_of(name);
    for (size_t i = 0; i < head->n_header; i++)
        if (slice_equal_nocase(head->header[i].name, wanted))
            return &head->header[i];
    return NULL;
}

bool http_is_hop_by_hop(const HttpHead *head, Slice name)
{
    static const Slice fixed[] = {NAME("connection"),
                                  NAME("keep-alive"),
                                  NAME("proxy-connection"),
                                  NAME("proxy-authenticate"),
                                  NAME("proxy-authorization"),
                                  NAME("te"),
                                  NAME("trailer"),
                                  NAME("transfer-encoding"),
                                  NAME("upgrade"),
                                  NAME("http2-settings")};
    static const Slice connection[] = {NAME("connection")};
    if (name_is_one_of(name, fixed, COUNT_OF(fixed)))
        return true;
    for (size_t i = 0; i < head->n_header; i++)
        if (name_is_one_of(head->header[i].name, connection, 1) && list_has(head->header[i].value, name))
            return true;
    return false;
}
