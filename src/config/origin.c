/* Where an API lives, from its URL. See config.h. No message repeats the URL before it is known to hold no
 * password. */
#include "config/config.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>

bool origin_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static const char *path_problem(Slice path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] <= ' ' || path.ptr[i] >= 0x7F || strchr("\\;*\"'<>^`{|}", path.ptr[i]))
            return "its path has a character that has no place there";
    for (Slice segment, rest = path; rest.len;) {
        bool more = slice_cut((Slice){rest.ptr + 1, rest.len - 1}, '/', &segment, &rest);
        if (segment.len == 0)
            return "its path has an empty segment (//)";
        if (slice_is(segment, ".") || slice_is(segment, ".."))
            return "its path has a dot segment";
        rest = more ? (Slice){rest.ptr - 1, rest.len + 1} : (Slice){"", 0};
    }
    return NULL;
}

/* "host", "host:port", "[::1]:port" */
static const char *split_authority(Slice authority, Origin *origin, char **ret_host)
{
    Slice host, port;
    uint64_t number = origin->tls ? 443 : 80;
    bool has_port;
    if (slice_starts(authority, "[")) {
        if (!slice_cut((Slice){authority.ptr + 1, authority.len - 1}, ']', &host, &port))
            return "the ']' of its address is missing";
        has_port = port.len > 0;
        if (has_port && port.ptr[0] != ':')
            return "only ':PORT' may follow the ']'";
        port = has_port ? (Slice){port.ptr + 1, port.len - 1} : port;
    } else {
        has_port = slice_cut(authority, ':', &host, &port);
    }
    if (has_port && (text_parse_u64(port, 65535, &number) || number == 0))
        return "its port is not a number from 1 to 65535";
    char *lower = mem_dup(host.ptr, host.len);
    for (char *p = lower; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    if (!text_is_host(slice_of(lower))) {
        mem_free(lower);
        return "its host is not a host name or address";
    }
    origin->port = (uint16_t)number;
    *ret_host = lower;
    return NULL;
}

static int parse(Slice url, bool plain_http, Origin *ret_origin, Fault *fault)
{
    Origin origin = {.tls = slice_starts(url, "https://")};
    if (!origin.tls && !slice_starts(url, "http://"))
        return fault_set(fault, -EINVAL, "an API's URL begins with https://");
    if (url.len > 1024)
        return fault_set(fault, -EINVAL, "the URL is longer than 1024 bytes");
    Slice rest = {url.ptr + (origin.tls ? 8 : 7), url.len - (origin.tls ? 8 : 7)}, authority = rest;
    const char *slash = memchr(rest.ptr, '/', rest.len);
    if (slash)
        authority.len = (size_t)(slash - rest.ptr);
    Slice path = {rest.ptr + authority.len, rest.len - authority.len};
    if (memchr(rest.ptr, '@', rest.len))
        return fault_set(fault, -EINVAL,
                         "the URL holds a user name, a password or an '@'; a credential belongs into "
                         "a store ('purser token set NAME')");
    if (memchr(rest.ptr, '?', rest.len) || memchr(rest.ptr, '#', rest.len))
        return fault_set(fault, -EINVAL,
                         "the URL has a query or a fragment; it must be the API's base alone");
    while (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    char *host = NULL;
    const char *problem = path_problem(path);
    if (!problem)
        problem = split_authority(authority, &origin, &host);
    if (problem)
        return fault_set(fault, -EINVAL, "'%.*s' cannot be an API's URL: %s",
                         (int)(url.len < 200 ? url.len : 200), url.ptr, problem);
    if (!origin.tls && !plain_http && !origin_is_loopback(host)) {
        fault_set(fault, -EINVAL, "a token is never sent over plain http; write https://%s", host);
        mem_free(host);
        return -EINVAL;
    }
    origin.host = host;
    origin.base = mem_dup(path.ptr, path.len);
    *ret_origin = origin;
    return 0;
}

int origin_parse(Slice url, Origin *ret_origin, Fault *fault)
{
    return parse(url, false, ret_origin, fault);
}

int origin_parse_store(Slice url, bool plain_http, Origin *ret_origin, Fault *fault)
{
    return parse(url, plain_http, ret_origin, fault);
}

void origin_done(Origin *origin)
{
    mem_free(origin->host);
    mem_free(origin->base);
    *origin = (Origin){0};
}
