/* JSON into GraphQL's values. See graphql-json.h. */
#include "keeper/graphql-json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

static int read_value(GraphqlArena *arena, const json_t *json, unsigned nesting, GraphqlValue *ret_value);

static Slice number_text(GraphqlArena *arena, const json_t *json)
{
    char text[40];
    if (json_is_integer(json))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(json));
    else
        snprintf(text, sizeof(text), "%.17g", json_real_value(json));
    if (!json_is_integer(json) && !strpbrk(text, ".e"))
        memcpy(text + strlen(text), ".0", 3);
    return graphql_arena_copy(arena, slice_of(text));
}

static int add_entry(GraphqlArena *arena, Slice name, const json_t *json, unsigned nesting,
                     GraphqlEntry ***last)
{
    GraphqlEntry *entry = GRAPHQL_NEW(arena, GraphqlEntry);
    if (!entry)
        return -ENOMEM;
    entry->name = name;
    **last = entry;
    *last = &entry->next;
    return read_value(arena, json, nesting, &entry->value);
}

static int read_list(GraphqlArena *arena, const json_t *list, unsigned nesting, GraphqlEntry **ret_first)
{
    GraphqlEntry **last = ret_first;
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
        r = add_entry(arena, (Slice){"", 0}, json_array_get(list, i), nesting, &last);
    return r;
}

static int read_object(GraphqlArena *arena, const json_t *object, unsigned nesting, GraphqlEntry **ret_first)
{
    GraphqlEntry **last = ret_first;
    json_t *walked = (json_t *)object; /* iterating takes one that is not const, and changes nothing */
    int r = 0;
    for (void *at = json_object_iter(walked); r == 0 && at; at = json_object_iter_next(walked, at))
        r = add_entry(arena, (Slice){json_object_iter_key(at), json_object_iter_key_len(at)},
                      json_object_iter_value(at), nesting, &last);
    return r;
}

static int read_value(GraphqlArena *arena, const json_t *json, unsigned nesting, GraphqlValue *ret_value)
{
    static const GraphqlKind kind[] = {
        [JSON_OBJECT] = GRAPHQL_OBJECT, [JSON_ARRAY] = GRAPHQL_LIST, [JSON_STRING] = GRAPHQL_STRING,
        [JSON_INTEGER] = GRAPHQL_INT,   [JSON_REAL] = GRAPHQL_FLOAT, [JSON_TRUE] = GRAPHQL_BOOLEAN,
        [JSON_FALSE] = GRAPHQL_BOOLEAN, [JSON_NULL] = GRAPHQL_NULL,
    };
    int r = 0;
    if (nesting > GRAPHQL_MAX_NESTING)
        return -ERANGE;
    *ret_value = (GraphqlValue){.kind = kind[json_typeof(json)], .text = {"", 0}};
    if (json_is_object(json))
        r = read_object(arena, json, nesting + 1, &ret_value->entry);
    else if (json_is_array(json))
        r = read_list(arena, json, nesting + 1, &ret_value->entry);
    else if (json_is_string(json))
        ret_value->text = (Slice){json_string_value(json), json_string_length(json)};
    else if (json_is_number(json))
        ret_value->text = number_text(arena, json);
    else if (json_is_boolean(json))
        ret_value->text = json_is_true(json) ? SLICE_LITERAL("true") : SLICE_LITERAL("false");
    return r ? r : arena->full ? -ENOMEM : 0;
}

static int fault_value(int r, const char *what, Fault *fault)
{
    if (r == -ERANGE)
        return fault_set(fault, -EINVAL, "the '%s' of the GraphQL request are nested more than %d deep", what,
                         GRAPHQL_MAX_NESTING);
    return r ? fault_set(fault, -EINVAL, "the '%s' of the GraphQL request are larger than purser takes", what)
             : 0;
}

static const char *why_no_json(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return "a key comes twice, and servers differ in which they take";
    case json_error_invalid_utf8:
        return "it is not UTF-8";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "it has a NUL";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "it is nested too deep";
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows its end";
    default:
        return "it is not JSON (RFC 8259)";
    }
}

static int load(Slice text, const char *what, json_t **ret_json, Fault *fault)
{
    json_error_t error = {0};
    *ret_json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (*ret_json)
        return 0;
    if (error.line < 0) /* jansson says nothing where memory is out */
        return fault_set(fault, -EINVAL, "the %s of the GraphQL request has more in it than purser takes",
                         what);
    return fault_set(fault, -EINVAL, "the %s of the GraphQL request cannot be read (line %d, column %d): %s",
                     what, error.line, error.column, why_no_json(&error));
}

int graphql_json_object(GraphqlArena *arena, Slice text, const char *what, GraphqlEntry **ret_entry,
                        Fault *fault)
{
    json_t *json = NULL;
    GraphqlValue value;
    int r = text.len ? load(text, what, &json, fault) : 0;
    if (r || !json || json_is_null(json))
        return r;
    if (!json_is_object(json))
        return fault_set(fault, -EINVAL, "the '%s' of the GraphQL request must be an object", what);
    r = fault_value(read_value(arena, json, 0, &value), what, fault);
    if (r == 0 && ret_entry)
        *ret_entry = value.entry;
    return r;
}

static int take_text(const json_t *value, const char *name, Slice *ret_text, Fault *fault)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return fault_set(fault, -EINVAL, "the '%s' of the GraphQL request must be text", name);
    *ret_text = (Slice){json_string_value(value), json_string_length(value)};
    return 0;
}

static int take_member(GraphqlArena *arena, const char *name, const json_t *value, GraphqlRequest *request,
                       Fault *fault)
{
    GraphqlValue object;
    bool variables = strcmp(name, "variables") == 0;
    if (strcmp(name, "query") == 0)
        return take_text(value, name, &request->query, fault);
    if (strcmp(name, "operationName") == 0)
        return take_text(value, name, &request->operation_name, fault);
    if (!variables && strcmp(name, "extensions") != 0)
        return fault_set(
            fault, -EINVAL,
            "the GraphQL request has a member '%.40s'; purser knows query, operationName, variables and "
            "extensions, and sends no other",
            name);
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return fault_set(fault, -EINVAL, "the '%s' of the GraphQL request must be an object", name);
    if (!variables)
        return 0;
    int r = fault_value(read_value(arena, value, 0, &object), name, fault);
    if (r == 0)
        request->variable = object.entry;
    return r;
}

int graphql_json_request(GraphqlArena *arena, Slice text, GraphqlRequest *ret_request, Fault *fault)
{
    GraphqlRequest request = {{"", 0}, {"", 0}, NULL};
    json_t *json;
    int r = load(text, "body", &json, fault);
    if (r)
        return r;
    if (json_is_array(json))
        return fault_set(
            fault, -EINVAL,
            "the GraphQL request is a batch: send each operation as a request of its own, so that each is "
            "decided, counted and recorded");
    if (!json_is_object(json))
        return fault_set(fault, -EINVAL, "the GraphQL request must be a JSON object");
    for (void *at = json_object_iter(json); r == 0 && at; at = json_object_iter_next(json, at))
        r = take_member(arena, json_object_iter_key(at), json_object_iter_value(at), &request, fault);
    if (r == 0)
        *ret_request = request;
    return r;
}
