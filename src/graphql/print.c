/* Documents in their one form. See print.h. The Buf's first failure sticks. */
#include "graphql/print.h"

#include "graphql/lexer.h"

typedef struct Printer {
    Buf *out;
    int error;
} Printer;

static void put(Printer *printer, Slice text)
{
    if (!printer->error)
        printer->error = buf_append_slice(printer->out, text);
}

static void put_text(Printer *printer, const char *text)
{
    put(printer, slice_of(text));
}

static void put_string(Printer *printer, Slice text)
{
    static const char hex[] = "0123456789ABCDEF", meant[] = "\"\\\b\f\n\r\t", written[] = "\"\\bfnrt";
    size_t from = 0;
    put_text(printer, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char *which = c ? strchr(meant, c) : NULL;
        if (c >= ' ' && !which)
            continue;
        put(printer, (Slice){text.ptr + from, i - from});
        from = i + 1;
        if (which)
            put(printer, (Slice){(char[]){'\\', written[which - meant]}, 2});
        else
            put(printer, (Slice){(char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6});
    }
    put(printer, (Slice){text.ptr + from, text.len - from});
    put_text(printer, "\"");
}

static void put_value(Printer *printer, const GraphqlValue *value);

static void put_entries(Printer *printer, const GraphqlEntry *entry, bool named, const char *open,
                        const char *close)
{
    put_text(printer, open);
    for (; entry; entry = entry->next) {
        if (named) {
            put(printer, entry->name);
            put_text(printer, ": ");
        }
        put_value(printer, &entry->value);
        if (entry->next)
            put_text(printer, ", ");
    }
    put_text(printer, close);
}

static void put_value(Printer *printer, const GraphqlValue *value)
{
    switch (value->kind) {
    case GRAPHQL_STRING:
        put_string(printer, value->text);
        break;
    case GRAPHQL_LIST:
        put_entries(printer, value->entry, false, "[", "]");
        break;
    case GRAPHQL_OBJECT:
        put_entries(printer, value->entry, true, "{", "}");
        break;
    case GRAPHQL_NULL:
        put_text(printer, "null");
        break;
    case GRAPHQL_VARIABLE:
        put_text(printer, "$");
        put(printer, value->text);
        break;
    default:
        put(printer, value->text);
    }
}

static void put_arguments(Printer *printer, const GraphqlEntry *argument)
{
    if (argument)
        put_entries(printer, argument, true, "(", ")");
}

static void put_directives(Printer *printer, const GraphqlDirective *directive)
{
    for (; directive; directive = directive->next) {
        put_text(printer, " @");
        put(printer, directive->name);
        put_arguments(printer, directive->argument);
    }
}

static void put_selections(Printer *printer, const GraphqlSelection *selection);

static void put_selection(Printer *printer, const GraphqlSelection *selection)
{
    if (selection->kind != GRAPHQL_FIELD)
        put_text(printer, selection->kind == GRAPHQL_INLINE && selection->name.len ? "... on " : "...");
    if (selection->alias.len) {
        put(printer, selection->alias);
        put_text(printer, ": ");
    }
    put(printer, selection->name);
    put_arguments(printer, selection->argument);
    put_directives(printer, selection->directive);
    put_selections(printer, selection->child);
}

static void put_selections(Printer *printer, const GraphqlSelection *selection)
{
    if (!selection)
        return;
    put_text(printer, " {");
    for (; selection; selection = selection->next) {
        put_text(printer, " ");
        put_selection(printer, selection);
    }
    put_text(printer, " }");
}

static void put_variables(Printer *printer, const GraphqlVariable *variable)
{
    const char *before = "(";
    for (; variable; variable = variable->next) {
        put_text(printer, before);
        before = ", ";
        put_text(printer, "$");
        put(printer, variable->name);
        put_text(printer, ": ");
        put(printer, variable->type);
        if (variable->fallback) {
            put_text(printer, " = ");
            put_value(printer, variable->fallback);
        }
        if (!variable->next)
            put_text(printer, ")");
    }
}

int graphql_print(const GraphqlChosen *chosen, Buf *out)
{
    Printer printer = {.out = out};
    const GraphqlOperation *operation = chosen->operation;
    put_text(&printer, graphql_type_text(operation->type));
    put_text(&printer, operation->name.len ? " " : "");
    put(&printer, operation->name);
    put_variables(&printer, operation->variable);
    put_selections(&printer, operation->child);
    for (const GraphqlFragment *fragment = chosen->document->fragment; fragment; fragment = fragment->next) {
        if (!fragment->used)
            continue;
        put_text(&printer, "\nfragment ");
        put(&printer, fragment->name);
        put_text(&printer, " on ");
        put(&printer, fragment->type);
        put_selections(&printer, fragment->child);
    }
    return printer.error;
}

bool graphql_is_printable(const GraphqlValue *value)
{
    for (const GraphqlEntry *entry = value->entry; entry; entry = entry->next)
        if ((value->kind == GRAPHQL_OBJECT && !lexer_is_name(entry->name)) ||
            !graphql_is_printable(&entry->value))
            return false;
    return true;
}

int graphql_print_value(const GraphqlValue *value, Buf *out)
{
    Printer printer = {.out = out};
    put_value(&printer, value);
    return printer.error;
}

static void put_json(JsonWriter *json, const char *key, const GraphqlValue *value)
{
    switch (value->kind) {
    case GRAPHQL_NULL:
        json_nothing(json, key);
        break;
    case GRAPHQL_BOOLEAN:
        json_bool(json, key, slice_is(value->text, "true"));
        break;
    case GRAPHQL_INT:
    case GRAPHQL_FLOAT:
        json_number(json, key, value->text);
        break;
    case GRAPHQL_LIST:
        json_array_begin(json, key);
        for (const GraphqlEntry *item = value->entry; item; item = item->next)
            put_json(json, NULL, &item->value);
        json_array_end(json);
        break;
    case GRAPHQL_OBJECT:
        json_object_begin(json, key);
        for (const GraphqlEntry *field = value->entry; field; field = field->next) {
            json_key(json, field->name);
            put_json(json, NULL, &field->value);
        }
        json_object_end(json);
        break;
    default: /* a string; enum values come as strings too */
        json_slice(json, key, value->text);
    }
}

void graphql_print_variables(const GraphqlChosen *chosen, JsonWriter *json, const char *key, bool *ret_any)
{
    bool any = false;
    for (const GraphqlVariable *variable = chosen->operation->variable; variable; variable = variable->next) {
        if (!variable->value || variable->value == variable->fallback)
            continue;
        if (!any)
            json_object_begin(json, key);
        any = true;
        json_key(json, variable->name);
        put_json(json, NULL, variable->value);
    }
    if (any)
        json_object_end(json);
    *ret_any = any;
}

int graphql_print_request(const GraphqlChosen *chosen, Slice document, Buf *out)
{
    bool any;
    JsonWriter json = JSON_WRITER(out);
    json_object_begin(&json, NULL);
    json_slice(&json, "query", document);
    if (chosen->operation->name.len)
        json_slice(&json, "operationName", chosen->operation->name);
    graphql_print_variables(chosen, &json, "variables", &any);
    json_object_end(&json);
    return json_finish(&json);
}
