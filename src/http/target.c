/* Request targets in their one form. See target.h. */
#include "http/target.h"

#include "base/text.h"
#include "http/credential.h"

#include <errno.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* One unit of `raw` at *at: a plain byte, or an escape. Returns the byte that it means, or -1 for a stray
 * '%'; *ret_escaped: it has to stay an escape. */
static int take_unit(Slice raw, size_t *at, bool *ret_escaped)
{
    char c = raw.ptr[*at];
    *ret_escaped = false;
    if (c != '%') {
        (*at)++;
        return (unsigned char)c;
    }
    int high = *at + 2 < raw.len ? hex_value(raw.ptr[*at + 1]) : -1;
    int low = high >= 0 ? hex_value(raw.ptr[*at + 2]) : -1;
    if (low < 0)
        return -1;
    *at += 3;
    int byte = high << 4 | low;
    *ret_escaped = !is_unreserved((char)byte);
    return byte;
}

static int put_unit(Target *target, int byte, bool escaped)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t need = escaped ? 3 : 1;
    if (target->len + need > HTTP_MAX_TARGET)
        return -EINVAL;
    if (escaped) {
        target->text[target->len++] = '%';
        target->text[target->len++] = hex[byte >> 4];
        target->text[target->len++] = hex[byte & 15];
    } else {
        target->text[target->len++] = (char)byte;
    }
    return 0;
}

/* Plain or escaped, this is one byte to nearly every server: so it is written plain in a path. Not '+', which
 * some take for a space. */
static bool is_plain_in_path(int byte)
{
    return byte > 0 && byte < 0x80 && strchr("!$&'()*,=:@", byte) != NULL;
}

/* And this may not stand plain in a URL: written as an escape. */
static bool is_escaped_in_path(int byte)
{
    return byte > 0 && byte < 0x80 && strchr("\"<>[]^`{|}", byte) != NULL;
}

static int too_long(Fault *fault)
{
    return fault_set(fault, -EINVAL, "The request target is longer than 8 kB.");
}

/* What a byte of a path may not be, plain or escaped. NULL: it may. */
static const char *path_objection(int byte, bool escaped, bool slashes)
{
    if (byte < 0)
        return "has a '%' that is not followed by two hex digits";
    if (byte < 0x20 || byte == 0x7F)
        return "has a control character";
    if (byte == '/' && escaped && !slashes)
        return "has an encoded slash (%2F)";
    if (byte == '\\')
        return "has a backslash";
    if (byte == ';')
        return "has a ';'";
    if (!escaped && (byte >= 0x80 || byte == ' ' || byte == '#'))
        return "has a character that must be percent-encoded";
    return NULL;
}

/* Overlong or broken UTF-8 in escapes: what it means depends on who decodes it. */
static bool is_utf8_path(const Target *target)
{
    char decoded[HTTP_MAX_TARGET];
    size_t n = 0;
    for (size_t at = 0; at < target->len;) {
        bool escaped;
        decoded[n++] = (char)take_unit((Slice){target->text, target->len}, &at, &escaped);
    }
    return text_is_utf8((Slice){decoded, n});
}

static bool is_dots(const char *segment, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (segment[i] != '.')
            return false;
    return len > 0;
}

/* What a segment's encoded slashes divide, as a server would see it that took them for slashes. */
static bool has_bad_part(const char *segment, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i <= len; i++) {
        bool slash = i + 2 < len && memcmp(segment + i, "%2F", 3) == 0;
        if (!slash && i < len)
            continue;
        if (from > 0 || slash) { /* there is a slash at all */
            if (i == from || is_dots(segment + from, i - from))
                return true;
        }
        from = i + 3;
        i += 2;
    }
    return false;
}

static int put_path(Slice raw, bool slashes, Target *target, Fault *fault)
{
    size_t segment = 0; /* where the segment that is being written begins */
    bool high = false;
    for (size_t at = 0; at < raw.len;) {
        bool escaped;
        int byte = take_unit(raw, &at, &escaped);
        const char *objection = path_objection(byte, escaped, slashes);
        if (objection)
            return fault_set(fault, -EINVAL, "The path %s, which different servers read differently.",
                             objection);
        if (byte == '/' && !escaped && target->len > 0 && target->len == segment)
            return fault_set(fault, -EINVAL, "The path has an empty segment (//).");
        high |= byte >= 0x80;
        if (put_unit(target, byte, escaped ? !is_plain_in_path(byte) : is_escaped_in_path(byte)))
            return too_long(fault);
        bool ends = at == raw.len || raw.ptr[at] == '/';
        if (byte == '/' && !escaped)
            segment = target->len;
        else if (ends && is_dots(target->text + segment, target->len - segment))
            return fault_set(fault, -EINVAL, "The path has a dot segment (. or ..).");
        else if (ends && slashes && has_bad_part(target->text + segment, target->len - segment))
            return fault_set(
                fault, -EINVAL,
                "The path has an encoded slash (%%2F) with nothing, or nothing but dots, beside it.");
    }
    if (high && !is_utf8_path(target))
        return fault_set(fault, -EINVAL,
                         "The path has escapes that are not UTF-8, which different servers "
                         "read differently.");
    target->path_len = target->len;
    return 0;
}

/* name=value, normalised, unless the name is a credential's: that parameter is left out (`whole`: it is not).
 */
static int put_parameter(Slice raw, bool whole, Target *target, Fault *fault)
{
    size_t start = target->len, name_end = 0;
    if (put_unit(target, start == target->path_len ? '?' : '&', false))
        return too_long(fault);
    for (size_t at = 0; at < raw.len;) {
        bool escaped;
        int byte = take_unit(raw, &at, &escaped);
        if (byte < 0)
            return fault_set(fault, -EINVAL, "The query has a '%%' that is not followed by two hex digits.");
        if (byte == 0 || (!escaped && (byte < 0x21 || byte >= 0x7F || byte == '#')))
            return fault_set(fault, -EINVAL, "The query has a character that must be percent-encoded.");
        if (byte == '=' && !escaped && !name_end)
            name_end = target->len;
        if (put_unit(target, byte, escaped || byte == ';'))
            return too_long(fault);
    }
    Slice name = {target->text + start + 1, (name_end ? name_end : target->len) - start - 1};
    if (!whole && http_is_credential_parameter(name))
        target->len = start;
    return 0;
}

static int normalise(Slice raw, bool slashes, bool whole, Target *ret_target, Fault *fault)
{
    Slice path, query;
    ret_target->len = ret_target->path_len = 0;
    if (raw.len == 0 || raw.ptr[0] != '/')
        return fault_set(fault, -EINVAL,
                         "The request target does not begin with '/'; absolute URLs are not taken here.");
    if (raw.len > HTTP_MAX_TARGET)
        return too_long(fault);
    bool has_query = slice_cut(raw, '?', &path, &query);
    int r = put_path(path, slashes, ret_target, fault);
    while (!r && has_query && query.len) {
        Slice parameter;
        slice_cut(query, '&', &parameter, &query);
        if (parameter.len)
            r = put_parameter(parameter, whole, ret_target, fault);
    }
    ret_target->text[ret_target->len] = '\0';
    return r;
}

int target_normalise(Slice raw, Target *ret_target, Fault *fault)
{
    return normalise(raw, false, false, ret_target, fault);
}

int target_normalise_slashes(Slice raw, Target *ret_target, Fault *fault)
{
    return normalise(raw, true, false, ret_target, fault);
}

int target_normalise_whole(Slice raw, Target *ret_target, Fault *fault)
{
    return normalise(raw, false, true, ret_target, fault);
}

bool target_has_slashes(Slice path)
{
    return memmem(path.ptr, path.len, "%2F", 3) != NULL;
}

static int bad_authority(Slice raw, Fault *fault)
{
    return fault_set(fault, -EINVAL, "\"%.*s\" is not a host and a port.", raw.len > 300 ? 300 : (int)raw.len,
                     raw.ptr);
}

int target_parse_authority(Slice raw, uint16_t default_port, char ret_host[static 254], uint16_t *ret_port,
                           Fault *fault)
{
    Slice host = raw, port = {"", 0};
    uint64_t number = default_port;
    bool bracketed = raw.len && raw.ptr[0] == '[';
    if (bracketed) {
        Slice rest;
        if (!slice_cut((Slice){raw.ptr + 1, raw.len - 1}, ']', &host, &rest) ||
            !memchr(host.ptr, ':', host.len) || (rest.len && rest.ptr[0] != ':'))
            return bad_authority(raw, fault);
        port = rest.len ? (Slice){rest.ptr + 1, rest.len - 1} : rest;
        if (rest.len && port.len == 0)
            return bad_authority(raw, fault);
    } else if (slice_cut(raw, ':', &host, &port) && (port.len == 0 || memchr(port.ptr, ':', port.len))) {
        return bad_authority(raw, fault);
    }
    if (!bracketed && host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > 253 || (port.len && text_parse_u64(port, 65535, &number)) || number == 0)
        return bad_authority(raw, fault);
    char lower[254];
    for (size_t i = 0; i < host.len; i++)
        lower[i] = host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? (char)(host.ptr[i] | 0x20) : host.ptr[i];
    if (!text_is_host((Slice){lower, host.len}))
        return bad_authority(raw, fault);
    memcpy(ret_host, lower, host.len);
    ret_host[host.len] = '\0';
    *ret_port = (uint16_t)number;
    return 0;
}
