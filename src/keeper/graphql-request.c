/* Requests to a GraphQL endpoint, and what is sent of them. See graphql-request.h. */
#include "keeper/graphql-request.h"

#include "base/text.h"
#include "graphql/print.h"
#include "http/target.h"
#include "keeper/graphql-json.h"
#include "json/arena.h"

#include <stdio.h>

static GraphqlArena arena;

static bool undecidable(Refused *refused, const char *why)
{
    return refused_set(refused, REFUSAL_GRAPHQL_UNDECIDABLE, "%s", why);
}

/* "utf-8", with or without quotes. */
static bool is_utf8_name(Slice value)
{
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = (Slice){value.ptr + 1, value.len - 2};
    return slice_is_nocase(value, "utf-8");
}

static bool read_content_type(Slice value, GraphqlWay *ret_way, Refused *refused)
{
    Slice type, rest, parameter, name;
    slice_cut(value, ';', &type, &rest);
    type = slice_trim(type);
    if (slice_is_nocase(type, "application/json"))
        *ret_way = GRAPHQL_BY_JSON;
    else if (slice_is_nocase(type, "application/graphql"))
        *ret_way = GRAPHQL_BY_DOCUMENT;
    else
        return undecidable(
            refused, "a GraphQL request's Content-Type must be application/json or application/graphql; "
                     "purser reads no other");
    while (rest.len) {
        slice_cut(rest, ';', &parameter, &rest);
        slice_cut(slice_trim(parameter), '=', &name, &value);
        if (!slice_is_nocase(name, "charset") || !is_utf8_name(value))
            return undecidable(refused,
                               "a GraphQL request's Content-Type can have no parameter but charset=utf-8");
    }
    return true;
}

/* Headers by which servers take a request for another one. */
static bool check_headers(const HttpHead *head, size_t *ret_types, Slice *ret_type, Refused *refused)
{
    uint32_t method;
    *ret_types = 0;
    for (size_t i = 0; i < head->n_header; i++) {
        if (!slice_is_nocase(head->header[i].name, "Content-Type"))
            continue;
        *ret_type = head->header[i].value;
        ++*ret_types;
    }
    if (http_has_method_override(head, &method))
        return refused_set(refused, REFUSAL_METHOD, "a GraphQL request may not override its method");
    return http_content_encoding_is_identity(head) ||
           undecidable(refused,
                       "the GraphQL request's body is compressed, so purser cannot read it: send it without "
                       "Content-Encoding");
}

bool graphql_way(const StreamRequest *request, const HttpHead *head, GraphqlWay *ret_way,
                 Refused *ret_refused)
{
    size_t types;
    Slice type = {"", 0};
    bool has_query = request->target.len > request->path_len;
    if (!check_headers(head, &types, &type, ret_refused))
        return false;
    if (request->method == HTTP_GET) {
        *ret_way = GRAPHQL_BY_QUERY;
        return !request->has_body ||
               undecidable(ret_refused, "a GraphQL request by GET has a body: send it by POST");
    }
    if (request->method != HTTP_POST)
        return refused_set(ret_refused, REFUSAL_METHOD, "a GraphQL request is a POST or a GET, not %s",
                           http_method_text(request->method));
    if (has_query)
        return undecidable(ret_refused,
                           "a GraphQL request by POST has a query in its address too, which some servers "
                           "prefer to the body: leave it out");
    if (!request->has_body || types != 1)
        return undecidable(ret_refused, "a GraphQL request by POST needs a body and one Content-Type");
    return read_content_type(type, ret_way, ret_refused);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A form's escapes taken off; the target's normal form has upper case digits. Empty and *bad: an escape that
 * is none, bytes that are not UTF-8, NUL. */
static Slice decode(Slice raw, bool *bad)
{
    char *out = graphql_arena_take(&arena, raw.len + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < raw.len; i++) {
        char c = raw.ptr[i] == '+' ? ' ' : raw.ptr[i];
        if (c == '%') {
            int high = raw.len - i > 2 ? hex_value(raw.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_value(raw.ptr[i + 2]) : -1;
            *bad |= low < 0;
            c = low < 0 ? '?' : (char)(high * 16 + low);
            i += 2;
        }
        out[n++] = c;
    }
    Slice text = {out ? out : "", n};
    *bad |= !out || memchr(text.ptr, '\0', n) != NULL || !text_is_utf8(text);
    return text;
}

static bool take_parameters(Slice query, GraphqlMembers *members, Refused *refused)
{
    static const char *const known[] = {"query", "operationName", "variables", "extensions"};
    Slice *const into[] = {&members->query, &members->operation_name, &members->variables,
                           &members->extensions};
    unsigned seen = 0;
    while (query.len) {
        Slice pair, name, value;
        bool bad = false;
        size_t k = 0;
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &name, &value);
        name = decode(name, &bad);
        while (k < COUNT_OF(known) && !slice_is(name, known[k]))
            k++;
        if (bad || k == COUNT_OF(known) || seen & 1u << k)
            return undecidable(refused,
                               "a GraphQL request by GET has a parameter other than query, operationName, "
                               "variables and extensions, or one of these twice");
        seen |= 1u << k;
        *into[k] = decode(value, &bad);
        if (bad)
            return undecidable(refused, "a parameter of the GraphQL request is not UTF-8, or has a NUL");
    }
    return true;
}

static bool read_query(Slice query, GraphqlRequest *request, Refused *refused)
{
    GraphqlMembers members = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};
    Fault fault = {""};
    if (!take_parameters(query, &members, refused))
        return false;
    request->query = members.query;
    request->operation_name = members.operation_name;
    if (graphql_json_object(&arena, members.variables, "variables", &request->variable, &fault) == 0 &&
        graphql_json_object(&arena, members.extensions, "extensions", NULL, &fault) == 0)
        return true;
    return undecidable(refused, fault.text);
}

static bool read_request(GraphqlWay way, Slice bytes, GraphqlRequest *request, Refused *refused)
{
    Fault fault = {""};
    if (way == GRAPHQL_BY_QUERY)
        return read_query(bytes, request, refused);
    if (bytes.len > GRAPHQL_MAX_BODY)
        return refused_set(refused, REFUSAL_BODY_TOO_LARGE, "the GraphQL request is larger than %u KiB",
                           GRAPHQL_MAX_BODY >> 10);
    if (way == GRAPHQL_BY_DOCUMENT)
        request->query = bytes;
    else if (graphql_json_request(&arena, bytes, request, &fault))
        return undecidable(refused, fault.text);
    return true;
}

bool graphql_take(GraphqlWay way, Slice bytes, GraphqlChosen *ret_chosen, Refused *ret_refused)
{
    GraphqlRequest request = {{"", 0}, {"", 0}, NULL};
    Fault fault = {""};
    if (!arena.room)
        graphql_arena_init(&arena);
    graphql_forget();
    if (!read_request(way, bytes, &request, ret_refused))
        return false;
    if (request.query.len == 0)
        return undecidable(ret_refused,
                           "the GraphQL request has no document; one that is stored with the provider and "
                           "named by its hash or id cannot be decided: send the document itself");
    if (graphql_read(&arena, &request, ret_chosen, &fault))
        return undecidable(ret_refused, fault.text);
    if (way == GRAPHQL_BY_QUERY && ret_chosen->operation->type != GRAPHQL_QUERY)
        return undecidable(ret_refused,
                           "a GraphQL request by GET may only be a query: send a mutation by POST");
    return true;
}

void graphql_forget(void)
{
    graphql_arena_reset(&arena);
    json_arena_wipe();
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

static int put_escaped(Buf *out, const char *name, Slice value)
{
    static const char hex[] = "0123456789ABCDEF";
    char *at;
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++)
        n += is_plain((unsigned char)value.ptr[i]) ? 1 : 3;
    int r = buf_append_text(out, name);
    r = r ? r : buf_reserve(out, n, &at);
    if (r)
        return r;
    n = 0;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (is_plain(c)) {
            at[n++] = (char)c;
            continue;
        }
        at[n++] = '%';
        at[n++] = hex[c >> 4];
        at[n++] = hex[c & 15];
    }
    buf_commit(out, n);
    return 0;
}

/* What graphql_way() reads as GRAPHQL_BY_QUERY. */
static int put_query(const GraphqlChosen *chosen, Slice document, Buf *out)
{
    CLEANUP_BUF Buf variables = BUF_INIT(HTTP_MAX_TARGET);
    JsonWriter json = JSON_WRITER(&variables);
    bool any;
    graphql_print_variables(chosen, &json, NULL, &any);
    int r = json_finish(&json);
    r = r ? r : put_escaped(out, "query=", document);
    if (r == 0 && chosen->operation->name.len)
        r = put_escaped(out, "&operationName=", chosen->operation->name);
    if (r == 0 && any)
        r = put_escaped(out, "&variables=", buf_slice(&variables));
    return r;
}

bool graphql_send(GraphqlWay way, const GraphqlChosen *chosen, Buf *out, Refused *ret_refused)
{
    static Buf document = BUF_INIT(GRAPHQL_MAX_BODY);
    int r = graphql_print(chosen, &document);
    if (r == 0)
        r = way == GRAPHQL_BY_QUERY ? put_query(chosen, buf_slice(&document), out)
                                    : graphql_print_request(chosen, buf_slice(&document), out);
    buf_reset(&document);
    if (r == 0)
        return true;
    return refused_set(ret_refused, REFUSAL_BODY_TOO_LARGE, "%s",
                       way == GRAPHQL_BY_QUERY
                           ? "the GraphQL request is too long for an address: send it by POST"
                           : "the GraphQL request is too large");
}

void graphql_summary(const GraphqlChosen *chosen, char *out, size_t size)
{
    Slice name = chosen->operation->name;
    size_t n = (size_t)snprintf(out, size, "%s%s%.*s:", graphql_type_text(chosen->operation->type),
                                name.len ? " " : "", (int)name.len, name.ptr);
    for (size_t i = 0; i < chosen->n_root && n < size; i++) {
        Slice root = chosen->root[i].field->name;
        n += (size_t)snprintf(out + n, size - n, "%s %.*s", i ? "," : "", (int)root.len, root.ptr);
    }
}
