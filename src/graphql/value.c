/* Values, arguments, directives, types (sections 2.6, 2.9, 2.11, 2.12 of the specification). See parser.h. */
#include "graphql/parser.h"

/* An object or an argument list does not say a name twice: servers differ in which they would take. */
static void check_new(Parser *parser, const GraphqlEntry *first, Slice name, uint32_t at, const char *what)
{
    unsigned n = 0;
    for (const GraphqlEntry *entry = first; entry; entry = entry->next, n++)
        if (slice_equal(entry->name, name))
            parser_fail(parser, at, "the %s '%.*s' comes twice", what, (int)name.len, name.ptr);
    if (n >= GRAPHQL_MAX_ENTRIES)
        parser_fail(parser, at, "there are more than %d %ss", GRAPHQL_MAX_ENTRIES, what);
}

/* name: value pairs up to `end`. */
static GraphqlEntry *parse_pairs(Parser *parser, char end, bool constant)
{
    const char *what = end == ')' ? "argument" : "input field";
    GraphqlEntry *first = NULL, **last = &first;
    while (!parser->failed && !parser_at(parser, end)) {
        uint32_t at = parser->token.at;
        Slice name = parser_name(parser, end == ')' ? "an argument's name" : "an input field's name");
        GraphqlEntry *entry = PARSER_NEW(parser, GraphqlEntry);
        if (!entry)
            break;
        check_new(parser, first, name, at, what);
        entry->name = name;
        parser_expect(parser, ':');
        parse_value(parser, constant, &entry->value);
        *last = entry;
        last = &entry->next;
    }
    parser_expect(parser, end);
    return first;
}

static GraphqlEntry *parse_items(Parser *parser, bool constant)
{
    GraphqlEntry *first = NULL, **last = &first;
    while (!parser->failed && !parser_at(parser, ']')) {
        GraphqlEntry *entry = PARSER_NEW(parser, GraphqlEntry);
        if (!entry)
            break;
        entry->name = (Slice){"", 0};
        parse_value(parser, constant, &entry->value);
        *last = entry;
        last = &entry->next;
    }
    parser_expect(parser, ']');
    return first;
}

static void parse_string(Parser *parser, GraphqlValue *value)
{
    const Token *token = &parser->token;
    char *out = parser_take_memory(parser, token->text.len + 1);
    value->kind = GRAPHQL_STRING;
    if (!out)
        return;
    size_t len = token->kind == TOKEN_BLOCK ? block_value(token->text, out) : string_value(token->text, out);
    value->text = (Slice){out, len};
    parser_next(parser);
}

static void parse_word(Parser *parser, GraphqlValue *value)
{
    value->text = parser->token.text;
    value->kind = slice_is(value->text, "null")                                     ? GRAPHQL_NULL
                  : slice_is(value->text, "true") || slice_is(value->text, "false") ? GRAPHQL_BOOLEAN
                                                                                    : GRAPHQL_ENUM;
    parser_next(parser);
}

static void parse_group(Parser *parser, bool constant, GraphqlValue *value)
{
    if (!parser_enter(parser))
        return;
    if (parser_take(parser, '[')) {
        value->kind = GRAPHQL_LIST;
        value->entry = parse_items(parser, constant);
    } else {
        parser_expect(parser, '{');
        value->kind = GRAPHQL_OBJECT;
        value->entry = parse_pairs(parser, '}', constant);
    }
    parser_leave(parser);
}

void parse_value(Parser *parser, bool constant, GraphqlValue *ret_value)
{
    GraphqlValue value = {.at = parser->token.at, .text = {"", 0}};
    switch (parser->token.kind) {
    case TOKEN_INT:
    case TOKEN_FLOAT:
        value.kind = parser->token.kind == TOKEN_INT ? GRAPHQL_INT : GRAPHQL_FLOAT;
        value.text = parser->token.text;
        parser_next(parser);
        break;
    case TOKEN_STRING:
    case TOKEN_BLOCK:
        parse_string(parser, &value);
        break;
    case TOKEN_NAME:
        parse_word(parser, &value);
        break;
    default:
        if (parser_at(parser, '[') || parser_at(parser, '{')) {
            parse_group(parser, constant, &value);
        } else if (parser_at(parser, '$') && !constant) {
            value.kind = GRAPHQL_VARIABLE;
            value.text = parser_variable(parser);
        } else {
            parser_unexpected(parser, constant ? "a value without variables" : "a value");
        }
    }
    *ret_value = value;
}

GraphqlEntry *parse_arguments(Parser *parser, bool constant)
{
    if (!parser_take(parser, '('))
        return NULL;
    GraphqlEntry *first = parse_pairs(parser, ')', constant);
    if (!first)
        parser_fail(parser, parser->token.at, "there are parentheses without an argument");
    return first;
}

static void check_directive(Parser *parser, const GraphqlDirective *first, Slice name, uint32_t at,
                            bool of_selection)
{
    if (!slice_is(name, "skip") && !slice_is(name, "include"))
        parser_fail(parser, at,
                    "the directive @%.*s is neither @skip nor @include; some servers let others change what "
                    "an operation does",
                    (int)name.len, name.ptr);
    else if (!of_selection)
        parser_fail(parser, at, "the directive @%.*s stands where it has no meaning", (int)name.len,
                    name.ptr);
    for (; first; first = first->next)
        if (slice_equal(first->name, name))
            parser_fail(parser, at, "the directive @%.*s comes twice", (int)name.len, name.ptr);
}

GraphqlDirective *parse_directives(Parser *parser, bool of_selection)
{
    GraphqlDirective *first = NULL, **last = &first;
    while (parser_at(parser, '@')) {
        uint32_t at = parser->token.at;
        parser_next(parser);
        Slice name = parser_name(parser, "a directive's name");
        check_directive(parser, first, name, at, of_selection);
        GraphqlDirective *directive = PARSER_NEW(parser, GraphqlDirective);
        if (!directive)
            break;
        directive->name = name;
        directive->argument = parse_arguments(parser, false);
        *last = directive;
        last = &directive->next;
    }
    return first;
}

/* The opening brackets of a type; the name; then as many closing ones, each of the pieces with its '!'. */
Slice parse_type(Parser *parser)
{
    size_t lists = 0, n = 0;
    while (parser_at(parser, '[') && parser_enter(parser)) {
        lists++;
        parser_next(parser);
    }
    Slice name = parser_name(parser, "a type");
    char *out = parser_take_memory(parser, name.len + 3 * lists + 2);
    if (!out)
        return (Slice){"", 0};
    memset(out, '[', lists);
    memcpy(out + lists, name.ptr, name.len);
    n = lists + name.len;
    if (parser_take(parser, '!'))
        out[n++] = '!';
    for (; lists && !parser->failed; lists--) {
        parser_expect(parser, ']');
        parser_leave(parser);
        out[n++] = ']';
        if (parser_take(parser, '!'))
            out[n++] = '!';
    }
    return (Slice){out, n};
}
