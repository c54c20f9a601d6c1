/* Where clients put a token. See credential.h. */
#include "http/credential.h"

#include "http/names.h"

#include <sodium.h>

/* Authorization, and header names whose whole value is a credential. GitLab: PRIVATE-TOKEN, JOB-TOKEN,
 * DEPLOY-TOKEN; CircleCI: Circle-Token; the others are what API clients commonly use. */
static const Slice credential_headers[] = {
    NAME("authorization"), NAME("proxy-authorization"), NAME("private-token"), NAME("job-token"),
    NAME("deploy-token"),  NAME("circle-token"),        NAME("x-api-key"),     NAME("x-auth-token"),
    NAME("x-api-token"),   NAME("x-access-token"),      NAME("api-key"),       NAME("x-buildkite-token"),
    NAME("x-vault-token"), NAME("x-gitlab-token"),      NAME("x-drone-token"), NAME("x-jenkins-token")};

static const Slice token_parameters[] = {NAME("access_token"), NAME("private_token"), NAME("circle_token"),
                                         NAME("api_key"),      NAME("token"),         NAME("job_token"),
                                         NAME("oauth_token")};

#define MAX_PARAMETER 64 /* bytes of a credential parameter's name, as sent */

bool http_is_credential(Slice header_name)
{
    return name_is_one_of(header_name, credential_headers, COUNT_OF(credential_headers));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded; out has text.len bytes. False for a stray '%'. */
static bool unescape(Slice text, char *out, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            out[n++] = text.ptr[i];
            continue;
        }
        int high = text.len - i > 2 ? hex_value(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.ptr[i + 2]) : -1;
        if (low < 0)
            return false;
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret_len = n;
    return true;
}

/* How many bytes of spaces, in their three writings, a name begins with. */
static size_t leading_spaces(Slice raw)
{
    size_t n = 0;
    for (;;) {
        Slice rest = {raw.ptr + n, raw.len - n};
        if (rest.len && (rest.ptr[0] == '+' || rest.ptr[0] == ' '))
            n++;
        else if (slice_starts(rest, "%20"))
            n += 3;
        else
            return n;
    }
}

/* A parameter's name as the most forgiving framework has it: decoded, its dots and spaces underscores, those
 * in front left out, however many they are. Returns how many those were; -1: it is longer than any that is
 * asked about, or not decodable. */
static int fold_name(Slice raw, char room[MAX_PARAMETER], Slice *ret_name)
{
    size_t len, spaces = leading_spaces(raw);
    int front = spaces > 0;
    raw = (Slice){raw.ptr + spaces, raw.len - spaces};
    if (raw.len > MAX_PARAMETER || !unescape(raw, room, &len))
        return -1;
    for (size_t i = 0; i < len; i++)
        if (strchr("-.+ ", room[i]))
            room[i] = '_';
    for (*ret_name = (Slice){room, len}; ret_name->len && ret_name->ptr[0] == '_'; front++)
        ret_name->ptr++, ret_name->len--;
    return front;
}

bool http_is_credential_parameter(Slice raw)
{
    char room[MAX_PARAMETER];
    Slice name;
    return fold_name(raw, room, &name) >= 0 &&
           name_is_one_of(name, token_parameters, COUNT_OF(token_parameters));
}

bool http_is_method_parameter(Slice raw)
{
    char room[MAX_PARAMETER];
    Slice name;
    return fold_name(raw, room, &name) > 0 && slice_is_nocase(name, "method");
}

size_t http_base64(char *out, const void *bytes, size_t len)
{
    sodium_bin2base64(out, sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL), bytes, len,
                      sodium_base64_VARIANT_ORIGINAL);
    return strlen(out);
}

static int take(Slice value, char *out, size_t *ret_len)
{
    if (value.len == 0)
        return HTTP_CREDENTIAL_NONE;
    if (value.len > HTTP_MAX_CREDENTIAL)
        return HTTP_CREDENTIAL_BAD;
    memcpy(out, value.ptr, value.len);
    *ret_len = value.len;
    return 0;
}

/* The value of a query parameter. */
static int take_escaped(Slice value, char *out, size_t *ret_len)
{
    if (value.len > HTTP_MAX_CREDENTIAL || !unescape(value, out, ret_len))
        return HTTP_CREDENTIAL_BAD;
    return *ret_len ? 0 : HTTP_CREDENTIAL_NONE;
}

/* user:password, base64; git and curl put a token in either place. */
static int take_basic(Slice encoded, char *out, size_t *ret_len)
{
    char plain[HTTP_MAX_CREDENTIAL];
    size_t len;
    const char *end;
    Slice user, password;
    int r = HTTP_CREDENTIAL_BAD;
    if (sodium_base642bin((unsigned char *)plain, sizeof(plain), encoded.ptr, encoded.len, NULL, &len, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 &&
        sodium_base642bin((unsigned char *)plain, sizeof(plain), encoded.ptr, encoded.len, NULL, &len, &end,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0) {
        sodium_memzero(plain, sizeof(plain));
        return r;
    }
    if (end == encoded.ptr + encoded.len && slice_cut((Slice){plain, len}, ':', &user, &password)) {
        bool in_user = password.len == 0 || slice_is(password, "x-oauth-basic");
        r = take(in_user ? user : password, out, ret_len);
    }
    sodium_memzero(plain, len);
    return r;
}

static int take_authorization(Slice value, char *out, size_t *ret_len)
{
    Slice scheme, rest;
    if (!slice_cut(value, ' ', &scheme, &rest))
        return take(value, out, ret_len);
    rest = slice_trim(rest);
    if (slice_is_nocase(scheme, "basic"))
        return take_basic(rest, out, ret_len);
    if (!slice_is_nocase(scheme, "bearer") && !slice_is_nocase(scheme, "token"))
        return HTTP_CREDENTIAL_BAD;
    /* Clients of some providers write `token token="..."` (Rails) */
    if (slice_starts_nocase(rest, "token=")) {
        rest = (Slice){rest.ptr + 6, rest.len - 6};
        if (rest.len >= 2 && rest.ptr[0] == '"' && rest.ptr[rest.len - 1] == '"')
            rest = (Slice){rest.ptr + 1, rest.len - 2};
    }
    return take(rest, out, ret_len);
}

typedef struct Search {
    char *out;
    size_t len;
    int result;
} Search;

/* One more place that has a credential: the first is taken, another must be the same. */
static void note(Search *search, int r, char *found, const size_t *found_len)
{
    size_t len = *found_len; /* read here: the call that sets it is an argument, and those have no order */
    if (r == HTTP_CREDENTIAL_NONE)
        return;
    if (r || search->result == HTTP_CREDENTIAL_BAD) {
        search->result = HTTP_CREDENTIAL_BAD;
    } else if (search->result == HTTP_CREDENTIAL_NONE) {
        memcpy(search->out, found, len);
        search->len = len;
        search->result = 0;
    } else if (search->len != len || sodium_memcmp(search->out, found, len) != 0) {
        search->result = HTTP_CREDENTIAL_MANY;
    }
    if (r == 0)
        sodium_memzero(found, len);
}

int http_find_credential(const HttpHead *head, Slice extra_header, Slice query, char *out, size_t *ret_len)
{
    Search search = {out, 0, HTTP_CREDENTIAL_NONE};
    char found[HTTP_MAX_CREDENTIAL];
    size_t len = 0;
    for (size_t i = 0; i < head->n_header; i++) {
        Slice name = head->header[i].name, value = head->header[i].value;
        if (slice_is_nocase(name, "authorization"))
            note(&search, take_authorization(value, found, &len), found, &len);
        else if (slice_is_nocase(name, "proxy-authorization"))
            continue;
        else if (http_is_credential(name) || (extra_header.len && slice_equal_nocase(name, extra_header)))
            note(&search, take(value, found, &len), found, &len);
    }
    for (Slice parameter; query.len;) {
        Slice name, value;
        slice_cut(query, '&', &parameter, &query);
        if (slice_cut(parameter, '=', &name, &value) && http_is_credential_parameter(name))
            note(&search, take_escaped(value, found, &len), found, &len);
    }
    *ret_len = search.len;
    return search.result;
}

int http_find_proxy_password(const HttpHead *head, char *out, size_t *ret_len)
{
    const HttpHeader *header = NULL;
    Slice scheme, encoded;
    for (size_t i = 0; i < head->n_header; i++) {
        if (!slice_is_nocase(head->header[i].name, "proxy-authorization"))
            continue;
        if (header)
            return HTTP_CREDENTIAL_BAD;
        header = &head->header[i];
    }
    if (!header)
        return HTTP_CREDENTIAL_NONE;
    if (!slice_cut(header->value, ' ', &scheme, &encoded) || !slice_is_nocase(scheme, "basic"))
        return HTTP_CREDENTIAL_BAD;
    return take_basic(slice_trim(encoded), out, ret_len);
}
