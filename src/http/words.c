/* HTTP's fixed words: methods, reason phrases, the sentences of head errors, the headers that never pass. See
 * head.h. */
#include "http/credential.h"
#include "http/head.h"
#include "http/names.h"

static const struct {
    uint32_t bit;
    const char *text;
} methods[] = {
    {HTTP_GET, "GET"},         {HTTP_HEAD, "HEAD"},   {HTTP_POST, "POST"},
    {HTTP_PUT, "PUT"},         {HTTP_PATCH, "PATCH"}, {HTTP_DELETE, "DELETE"},
    {HTTP_OPTIONS, "OPTIONS"}, {HTTP_TRACE, "TRACE"}, {HTTP_CONNECT, "CONNECT"},
};

uint32_t http_method(Slice text)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (slice_is(text, methods[i].text))
            return methods[i].bit;
    return HTTP_OTHER;
}

const char *http_method_text(uint32_t method)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (methods[i].bit == method)
            return methods[i].text;
    return "?";
}

const char *http_error_text(int error)
{
    switch (error) {
    case HTTP_E_MORE:
        return "the message is not whole";
    case HTTP_E_START_LINE:
        return "the first line is not one of HTTP/1.1";
    case HTTP_E_VERSION:
        return "the version is neither HTTP/1.1 nor HTTP/1.0";
    case HTTP_E_TARGET_TOO_LONG:
        return "the request target is longer than 8 kB";
    case HTTP_E_HEAD_TOO_LARGE:
        return "the headers are larger than 32 kB";
    case HTTP_E_TOO_MANY_HEADERS:
        return "there are more than 100 headers";
    case HTTP_E_LINE_END:
        return "a line does not end in CR LF";
    case HTTP_E_FOLD:
        return "a header is folded over two lines";
    case HTTP_E_HEADER:
        return "a header's name or value has a character that it may not have";
    case HTTP_E_HOST:
        return "there is not exactly one sound Host header";
    case HTTP_E_LENGTH:
        return "the length of the body is said more than once, or is not a number";
    case HTTP_E_CODING:
        return "the transfer coding is not exactly \"chunked\"";
    default:
        return "the message is not HTTP";
    }
}

int http_error_status(int error)
{
    switch (error) {
    case HTTP_E_TARGET_TOO_LONG:
        return 414;
    case HTTP_E_HEAD_TOO_LARGE:
    case HTTP_E_TOO_MANY_HEADERS:
        return 431;
    case HTTP_E_CODING:
        return 501;
    case HTTP_E_VERSION:
        return 505;
    default:
        return 400;
    }
}

/* What names another place, path or client than the request itself: servers behind a proxy believe it, and it
 * was not what the rules were asked about. */
static bool names_another_place(Slice name)
{
    static const char *const prefix[] = {"x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-"};
    static const Slice whole[] = {NAME("forwarded"),     NAME("x-host"),    NAME("x-http-host-override"),
                                  NAME("x-http-path"),   NAME("x-real-ip"), NAME("x-http-destinationurl"),
                                  NAME("true-client-ip")};
    for (size_t i = 0; i < COUNT_OF(prefix); i++)
        if (slice_starts_nocase(name, prefix[i]))
            return true;
    return name_is_one_of(name, whole, COUNT_OF(whole));
}

bool http_is_dropped_request_header(Slice name)
{
    static const Slice dropped[] = {NAME("cookie"),   NAME("cookie2"),         NAME("alt-svc"), NAME("range"),
                                    NAME("if-range"), NAME("accept-encoding"), NAME("expect"),  NAME("host")};
    return name_is_one_of(name, dropped, COUNT_OF(dropped)) || http_is_credential(name) ||
           names_another_place(name) || (name.len && memchr(name.ptr, '_', name.len));
}

bool http_is_dropped_response_header(Slice name)
{
    static const Slice dropped[] = {NAME("set-cookie"), NAME("set-cookie2"), NAME("cookie"), NAME("alt-svc"),
                                    NAME("x-purser-error")}; /* purser's own word for a refusal */
    return name_is_one_of(name, dropped, COUNT_OF(dropped));
}

bool http_has_method_override(const HttpHead *head, uint32_t *ret_method)
{
    static const Slice names[] = {NAME("x-http-method"), NAME("x-http-method-override"),
                                  NAME("x-method-override")};
    uint32_t said = 0;
    for (size_t i = 0; i < head->n_header; i++)
        if (name_is_one_of(head->header[i].name, names, COUNT_OF(names)))
            said |= http_method(head->header[i].value);
    if (said)
        *ret_method = said & (said - 1) ? (uint32_t)HTTP_OTHER : said;
    return said != 0;
}

bool http_content_encoding_is_identity(const HttpHead *head)
{
    for (size_t i = 0; i < head->n_header; i++)
        if (slice_is_nocase(head->header[i].name, "content-encoding") && head->header[i].value.len &&
            !slice_is_nocase(head->header[i].value, "identity"))
            return false;
    return true;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reason[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(reason); i++)
        if (reason[i].status == status)
            return reason[i].text;
    return "Unknown";
}
