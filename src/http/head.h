/* Strict HTTP/1.1 heads (RFC 9110, RFC 9112), in both directions. A head is parsed where it lies; nothing is
 * copied and nothing allocated. What RFC 9112 lets a recipient forgive is refused here: a line that ends in a
 * bare LF, a bare CR, obs-fold, space before the colon, control characters, a second Host, several or
 * contradicting lengths, an unknown transfer coding, Transfer-Encoding together with Content-Length,
 * Transfer-Encoding in HTTP/1.0.
 */
#pragma once

#include "base/slice.h"

#define HTTP_MAX_HEAD    (32u << 10) /* bytes, start line and empty line included */
#define HTTP_MAX_HEADERS 100
#define HTTP_MAX_TARGET  (8u << 10)

/* Bits, so that a set of them is a number. */
typedef enum HttpMethod {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_PATCH = 16,
    HTTP_DELETE = 32,
    HTTP_OPTIONS = 64,
    HTTP_TRACE = 128,
    HTTP_CONNECT = 256,
    HTTP_OTHER = 512, /* any other token; its text is in HttpHead.method_text */
} HttpMethod;

uint32_t http_method(Slice text);              /* the bit; HTTP_OTHER for what is not known; case matters */
const char *http_method_text(uint32_t method); /* "GET"; "?" for HTTP_OTHER */

typedef struct HttpHeader {
    Slice name;  /* as sent */
    Slice value; /* trimmed; visible ASCII, space, tab, and obs-text */
} HttpHeader;

/* How the length of a body is known (RFC 9112, section 6.3). */
typedef enum HttpFraming {
    HTTP_NO_BODY,
    HTTP_LENGTH, /* content_length bytes, maybe 0 */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE, /* responses only */
} HttpFraming;

typedef struct HttpHead {
    /* request */
    uint32_t method;
    Slice method_text;
    Slice target;
    /* response */
    int status; /* 100 to 999 */
    Slice reason;
    /* both */
    int minor; /* HTTP/1.minor: 0 or 1 */
    HttpHeader header[HTTP_MAX_HEADERS];
    size_t n_header;
    HttpFraming framing;
    uint64_t content_length;
    bool keep_alive;      /* by version and Connection */
    bool expect_continue; /* Expect: 100-continue */
    bool upgrade;         /* asks for, or answers with, another protocol */
    Slice host;           /* value of the one Host; empty if there was none (HTTP/1.0) */
} HttpHead;

/* Answers beside 0. HTTP_E_MORE: the head is not whole yet. The others name what is wrong; http_error_text()
 * has the sentence and http_error_status() the status to answer a request with (400, 414, 431, 501, 505). */
enum {
    HTTP_E_MORE = 1,
    HTTP_E_START_LINE,
    HTTP_E_VERSION,
    HTTP_E_TARGET_TOO_LONG,
    HTTP_E_HEAD_TOO_LARGE,
    HTTP_E_TOO_MANY_HEADERS,
    HTTP_E_LINE_END, /* bare CR or LF */
    HTTP_E_FOLD,     /* obs-fold */
    HTTP_E_HEADER,   /* name or value */
    HTTP_E_HOST,     /* two, none in HTTP/1.1, or not a host */
    HTTP_E_LENGTH,   /* several, not a number, beside Transfer-Encoding, or in a 1xx answer */
    HTTP_E_CODING,   /* a transfer coding other than one final "chunked" */
};

/* ret_used: bytes of the head. `bytes` may hold more than the head. Empty lines before a request are not
 * accepted. On HTTP_E_MORE the caller reads more, up to HTTP_MAX_HEAD, and asks again. */
int http_parse_request(Slice bytes, HttpHead *ret_head, size_t *ret_used) MUST_USE;

/* `method`: of the request that this answers, since HEAD (and 1xx, 204, 304) have no body whatever they say.
 */
int http_parse_response(Slice bytes, uint32_t method, HttpHead *ret_head, size_t *ret_used) MUST_USE;

const char *http_error_text(int error);
int http_error_status(int error);

/* RFC 9110, 5.6.2 and 5.5: what a name, and what a value may be made of. */
extern const bool http_is_token_char[256], http_is_value_char[256];

/* The first header of that name (ASCII case-insensitive), or NULL. */
const HttpHeader *http_find(const HttpHead *head, const char *name);

/* Hop-by-hop (RFC 9110, 7.6.1): Connection and what it names, Keep-Alive, Proxy-Connection,
 * Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade. Must go before anything
 * is forwarded. */
bool http_is_hop_by_hop(const HttpHead *head, Slice name);

/* Names that a proxy must never pass in either direction here: Cookie, Set-Cookie, Set-Cookie2, Alt-Svc, and
 * (in requests) everything http_is_credential() knows, Range, If-Range, Accept-Encoding, Expect, Host,
 * X-Original-URL and X-Rewrite-URL (some servers take these for the path, which was decided on), and every
 * name with an underscore in it: to servers that hand headers on as CGI variables, X_Auth_Token or
 * X_HTTP_Method_Override is the same as the name with hyphens that was decided on. */
bool http_is_dropped_request_header(Slice name);
bool http_is_dropped_response_header(Slice name);

/* X-HTTP-Method, X-HTTP-Method-Override, X-Method-Override: some servers take these for the method (promise
 * 9). Two that differ are HTTP_OTHER. */
bool http_has_method_override(const HttpHead *head, uint32_t *ret_method);

/* Whether a body can be read as it is: no Content-Encoding but identity. */
bool http_content_encoding_is_identity(const HttpHead *head);

/* The common reason phrase of a status; "Unknown" if there is none. */
const char *http_reason(int status);
