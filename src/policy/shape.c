/* Query parameters and media types of a request against a rule. See shape.h. Pure; matching allocates
 * nothing. */
#include "policy/shape.h"

#include "base/mem.h"
#include "base/text.h"
#include "policy/list.h"

#include <stdlib.h>

static int hex_value(char c)
{
    static const char digits[] = "0123456789ABCDEF"; /* the target is normalised */
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool policy_query_name(Slice raw, char out[POLICY_MAX_QUERY_NAME], size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        int byte = raw.ptr[i] == '+' ? ' ' : (unsigned char)raw.ptr[i];
        if (byte == '%') {
            int high = i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_value(raw.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            byte = high << 4 | low;
            i += 2;
        }
        if (byte < ' ' || byte == 0x7F || n == POLICY_MAX_QUERY_NAME)
            return false;
        out[n++] = (char)byte;
    }
    *ret_len = n;
    return text_is_utf8((Slice){out, n});
}

static PolicyWhy match_query(const PolicyShape *shape, Slice query, Slice *ret_what)
{
    uint64_t seen = 0;
    while (query.len) {
        Slice pair, name, value;
        char decoded[POLICY_MAX_QUERY_NAME];
        size_t len;
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &name, &value);
        *ret_what = name;
        if (!policy_query_name(name, decoded, &len))
            return POLICY_WHY_BROKEN;
        ptrdiff_t at = policy_list_find(shape->query, shape->n_query, (Slice){decoded, len}, false);
        if (at < 0)
            return POLICY_WHY_QUERY;
        uint64_t bit = UINT64_C(1) << at;
        if (seen & bit && !slice_ends((Slice){decoded, len}, "[]"))
            return POLICY_WHY_TWICE;
        seen |= bit;
    }
    return POLICY_WHY_NOTHING;
}

/* What stands behind a type: q and charset say nothing about what it is. A body's boundary neither. */
static bool is_plain(Slice parameters, bool body)
{
    while (parameters.len) {
        Slice one;
        slice_cut(parameters, ';', &one, &parameters);
        one = slice_trim(one);
        if (one.len && !slice_starts_nocase(one, "q=") && !slice_starts_nocase(one, "charset=") &&
            !(body && slice_starts_nocase(one, "boundary=")))
            return false;
    }
    return true;
}

static bool type_is_listed(char *const *list, size_t n, Slice item, bool body)
{
    Slice type, parameters;
    slice_cut(item, ';', &type, &parameters);
    type = slice_trim(type);
    if (slice_is(type, "*/*"))
        type = SLICE_LITERAL("*");
    return is_plain(parameters, body) && policy_list_find(list, n, type, true) >= 0;
}

static PolicyWhy match_accept(const PolicyShape *shape, const PolicyRequest *request, Slice *ret_what)
{
    bool any = false;
    for (size_t i = 0; i < request->n_header; i++) {
        Slice rest = request->header[i].value;
        if (!slice_is_nocase(request->header[i].name, "Accept"))
            continue;
        while (rest.len) {
            slice_cut(rest, ',', ret_what, &rest);
            *ret_what = slice_trim(*ret_what);
            any |= ret_what->len > 0;
            if (ret_what->len && !type_is_listed(shape->accept, shape->n_accept, *ret_what, false))
                return POLICY_WHY_ACCEPT;
        }
    }
    *ret_what = SLICE_LITERAL("*/*");
    return any || type_is_listed(shape->accept, shape->n_accept, *ret_what, false) ? POLICY_WHY_NOTHING
                                                                                   : POLICY_WHY_ACCEPT;
}

static PolicyWhy match_content_type(const PolicyShape *shape, const PolicyRequest *request, Slice *ret_what)
{
    size_t n = 0;
    *ret_what = (Slice){"", 0};
    for (size_t i = 0; i < request->n_header; i++) {
        if (!slice_is_nocase(request->header[i].name, "Content-Type"))
            continue;
        *ret_what = request->header[i].value;
        if (n++ || !type_is_listed(shape->content_type, shape->n_content_type, *ret_what, true))
            return POLICY_WHY_CONTENT_TYPE;
    }
    return n || !request->has_body ? POLICY_WHY_NOTHING : POLICY_WHY_CONTENT_TYPE;
}

PolicyWhy policy_shape_match(const PolicyShape *shape, const PolicyRequest *request, Slice *ret_what)
{
    PolicyWhy why = POLICY_WHY_NOTHING;
    if (shape->names_query)
        why = match_query(shape, request->query, ret_what);
    if (why == POLICY_WHY_NOTHING && shape->n_accept)
        why = match_accept(shape, request, ret_what);
    if (why == POLICY_WHY_NOTHING && shape->n_content_type)
        why = match_content_type(shape, request, ret_what);
    return why;
}

bool policy_shape_is_empty(const PolicyShape *shape)
{
    return !shape->names_query && !shape->n_query && !shape->n_accept && !shape->n_content_type &&
           !shape->response_bytes;
}

static const char *type_problem(const char *type)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-";
    size_t main = strspn(type, token);
    size_t sub = type[main] == '/' ? strspn(type + main + 1, token) : 0;
    if (strlen(type) > POLICY_MAX_TYPE || !(strcmp(type, "*") == 0 || (main && sub && !type[main + 1 + sub])))
        return "has a media type that is none; one is as in application/json, without parameters, and '*' "
               "is any";
    return NULL;
}

const char *policy_shape_problem(const PolicyShape *shape)
{
    if (shape->n_query > POLICY_MAX_QUERY || shape->n_accept > POLICY_MAX_TYPES ||
        shape->n_content_type > POLICY_MAX_TYPES)
        return "names too many parameters or media types";
    if (shape->n_query && !shape->names_query)
        return "has parameters and no list of them";
    if (!policy_list_is_sorted(shape->query, shape->n_query) ||
        !policy_list_is_sorted(shape->accept, shape->n_accept) ||
        !policy_list_is_sorted(shape->content_type, shape->n_content_type))
        return "names a parameter or a media type twice";
    for (size_t i = 0; i < shape->n_query; i++) {
        size_t len = strlen(shape->query[i]);
        if (len == 0 || len > POLICY_MAX_QUERY_NAME || !text_is_utf8(slice_of(shape->query[i])))
            return "has a parameter's name that is longer than 100 bytes, or not UTF-8";
        for (size_t k = 0; k < len; k++)
            if ((unsigned char)shape->query[i][k] < ' ' || shape->query[i][k] == 0x7F)
                return "has a control character in a parameter's name";
    }
    const char *problem = NULL;
    for (size_t i = 0; i < shape->n_accept && !problem; i++)
        problem = type_problem(shape->accept[i]);
    for (size_t i = 0; i < shape->n_content_type && !problem; i++)
        problem = type_problem(shape->content_type[i]);
    return problem;
}

void policy_shape_sort(PolicyShape *shape)
{
    policy_list_lower(shape->accept, shape->n_accept);
    policy_list_lower(shape->content_type, shape->n_content_type);
    policy_list_sort(shape->query, shape->n_query);
    policy_list_sort(shape->accept, shape->n_accept);
    policy_list_sort(shape->content_type, shape->n_content_type);
}

void policy_shape_done(PolicyShape *shape)
{
    mem_free_strings(shape->query, shape->n_query);
    mem_free_strings(shape->accept, shape->n_accept);
    mem_free_strings(shape->content_type, shape->n_content_type);
}

void policy_shape_put(const PolicyShape *shape, WireWriter *wire)
{
    wire_put_u8(wire, shape->names_query);
    policy_list_put(wire, shape->query, shape->n_query);
    policy_list_put(wire, shape->accept, shape->n_accept);
    policy_list_put(wire, shape->content_type, shape->n_content_type);
    wire_put_u64(wire, shape->response_bytes);
}

void policy_shape_get(WireReader *wire, PolicyShape *ret)
{
    ret->names_query = wire_get_bool(wire);
    policy_list_get(wire, POLICY_MAX_QUERY_NAME, POLICY_MAX_QUERY, &ret->query, &ret->n_query);
    policy_list_get(wire, POLICY_MAX_TYPE, POLICY_MAX_TYPES, &ret->accept, &ret->n_accept);
    policy_list_get(wire, POLICY_MAX_TYPE, POLICY_MAX_TYPES, &ret->content_type, &ret->n_content_type);
    ret->response_bytes = wire_get_u64(wire);
}
