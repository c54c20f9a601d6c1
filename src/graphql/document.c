/* Documents: operations, fragments, selections (sections 2.2 to 2.8 of the specification). See graphql.h. */
#include "graphql/parser.h"

#include "graphql/measure.h"

static GraphqlSelection *parse_selections(Parser *parser);

static void parse_field(Parser *parser, GraphqlSelection *field)
{
    field->kind = GRAPHQL_FIELD;
    field->alias = (Slice){"", 0};
    field->name = parser_name(parser, "a field's name");
    if (parser_take(parser, ':')) {
        field->alias = field->name;
        field->name = parser_name(parser, "the name of the field that the alias is for");
    }
    field->argument = parse_arguments(parser, false);
    field->directive = parse_directives(parser, true);
    if (parser_at(parser, '{'))
        field->child = parse_selections(parser);
}

/* Behind the three dots. */
static void parse_spread(Parser *parser, GraphqlSelection *spread)
{
    bool on = parser_at_word(parser, "on");
    spread->alias = spread->name = (Slice){"", 0};
    if (parser->token.kind == TOKEN_NAME && !on) {
        spread->kind = GRAPHQL_SPREAD;
        spread->name = parser_name(parser, "a fragment's name");
        spread->directive = parse_directives(parser, true);
        return;
    }
    spread->kind = GRAPHQL_INLINE;
    if (on) {
        parser_next(parser);
        spread->name = parser_name(parser, "a type");
    }
    spread->directive = parse_directives(parser, true);
    spread->child = parse_selections(parser);
}

static GraphqlSelection *parse_selections(Parser *parser)
{
    GraphqlSelection *first = NULL, **last = &first;
    if (!parser_enter(parser))
        return NULL;
    parser_expect(parser, '{');
    do {
        uint32_t at = parser->token.at;
        GraphqlSelection *selection = PARSER_NEW(parser, GraphqlSelection);
        if (!selection)
            break;
        selection->at = at;
        if (parser->token.kind == TOKEN_SPREAD) {
            parser_next(parser);
            parse_spread(parser, selection);
        } else {
            parse_field(parser, selection);
        }
        *last = selection;
        last = &selection->next;
    } while (!parser->failed && !parser_at(parser, '}'));
    parser_expect(parser, '}');
    parser_leave(parser);
    return first;
}

static void check_variable(Parser *parser, const GraphqlVariable *first, Slice name, uint32_t at)
{
    unsigned n = 0;
    for (; first; first = first->next, n++)
        if (slice_equal(first->name, name))
            parser_fail(parser, at, "the variable $%.*s is declared twice", (int)name.len, name.ptr);
    if (n >= GRAPHQL_MAX_VARIABLES)
        parser_fail(parser, at, "there are more than %d variables", GRAPHQL_MAX_VARIABLES);
}

static GraphqlVariable *parse_variables(Parser *parser)
{
    GraphqlVariable *first = NULL, **last = &first;
    if (!parser_take(parser, '('))
        return NULL;
    do {
        uint32_t at = parser->token.at;
        GraphqlVariable *variable = PARSER_NEW(parser, GraphqlVariable);
        if (!variable)
            break;
        variable->name = parser_variable(parser);
        check_variable(parser, first, variable->name, at);
        parser_expect(parser, ':');
        variable->type = parse_type(parser);
        if (parser_take(parser, '=') && (variable->fallback = PARSER_NEW(parser, GraphqlValue)))
            parse_value(parser, true, variable->fallback);
        parse_directives(parser, false);
        *last = variable;
        last = &variable->next;
    } while (!parser->failed && !parser_at(parser, ')'));
    parser_expect(parser, ')');
    return first;
}

static uint32_t operation_type(const Parser *parser)
{
    for (uint32_t type = GRAPHQL_QUERY; type <= GRAPHQL_SUBSCRIPTION; type <<= 1)
        if (parser_at_word(parser, graphql_type_text(type)))
            return type;
    return 0;
}

static void check_operation(Parser *parser, const GraphqlDocument *document, Slice name, uint32_t at)
{
    for (const GraphqlOperation *other = document->operation; other; other = other->next)
        if (slice_equal(other->name, name) && name.len)
            parser_fail(parser, at, "there are two operations named '%.*s'", (int)name.len, name.ptr);
        else if (!other->name.len || !name.len)
            parser_fail(parser, at, "an operation without a name stands beside another one");
    if (document->n_operation >= GRAPHQL_MAX_OPERATIONS)
        parser_fail(parser, at, "there are more than %d operations", GRAPHQL_MAX_OPERATIONS);
}

static GraphqlOperation *parse_operation(Parser *parser, GraphqlDocument *document, uint32_t type)
{
    GraphqlOperation *operation = PARSER_NEW(parser, GraphqlOperation);
    if (!operation)
        return NULL;
    operation->at = parser->token.at;
    operation->type = type ? type : GRAPHQL_QUERY;
    operation->name = (Slice){"", 0};
    if (type) {
        parser_next(parser);
        if (parser->token.kind == TOKEN_NAME)
            operation->name = parser_name(parser, "a name");
        operation->variable = parse_variables(parser);
        parse_directives(parser, false);
    }
    check_operation(parser, document, operation->name, operation->at);
    operation->child = parse_selections(parser);
    document->n_operation++;
    return operation;
}

static GraphqlFragment *parse_fragment(Parser *parser, GraphqlDocument *document)
{
    GraphqlFragment *fragment = PARSER_NEW(parser, GraphqlFragment);
    if (!fragment)
        return NULL;
    fragment->at = parser->token.at;
    parser_next(parser);
    if (parser_at_word(parser, "on"))
        parser_unexpected(parser, "a fragment's name");
    fragment->name = parser_name(parser, "a fragment's name");
    if (!parser_at_word(parser, "on"))
        parser_unexpected(parser, "'on'");
    parser_next(parser);
    fragment->type = parser_name(parser, "a type");
    parse_directives(parser, false);
    fragment->child = parse_selections(parser);
    for (const GraphqlFragment *other = document->fragment; other; other = other->next)
        if (slice_equal(other->name, fragment->name))
            parser_fail(parser, fragment->at, "there are two fragments named '%.*s'", (int)other->name.len,
                        other->name.ptr);
    if (document->n_fragment++ >= GRAPHQL_MAX_FRAGMENTS)
        parser_fail(parser, fragment->at, "there are more than %d fragments", GRAPHQL_MAX_FRAGMENTS);
    return fragment;
}

static bool at_type_system(const Parser *parser)
{
    static const char *const word[] = {"schema", "scalar", "type",   "interface", "union",
                                       "enum",   "input",  "extend", "directive"};
    for (size_t i = 0; i < COUNT_OF(word); i++)
        if (parser_at_word(parser, word[i]))
            return true;
    return parser->token.kind == TOKEN_STRING || parser->token.kind == TOKEN_BLOCK;
}

static void parse_definitions(Parser *parser, GraphqlDocument *document)
{
    GraphqlOperation **last_operation = &document->operation;
    GraphqlFragment **last_fragment = &document->fragment;
    do {
        uint32_t type = operation_type(parser);
        if (type || parser_at(parser, '{')) {
            GraphqlOperation *operation = parse_operation(parser, document, type);
            *last_operation = operation;
            last_operation = operation ? &operation->next : last_operation;
        } else if (parser_at_word(parser, "fragment")) {
            GraphqlFragment *fragment = parse_fragment(parser, document);
            *last_fragment = fragment;
            last_fragment = fragment ? &fragment->next : last_fragment;
        } else if (at_type_system(parser)) {
            parser_fail(parser, parser->token.at,
                        "a definition of types or a description stands in a request");
        } else {
            parser_unexpected(parser, "an operation or a fragment");
        }
    } while (!parser->failed && parser->token.kind != TOKEN_END);
}

int graphql_parse(GraphqlArena *arena, Slice text, GraphqlDocument *ret_document, Fault *fault)
{
    Parser parser;
    GraphqlDocument document = {.text = text};
    parser_begin(&parser, arena, text, fault);
    if (!parser.failed)
        parse_definitions(&parser, &document);
    if (!parser.failed)
        measure_document(&parser, &document);
    int r = parser_result(&parser);
    if (r == 0)
        *ret_document = document;
    return r;
}

int graphql_parse_value(GraphqlArena *arena, Slice text, GraphqlValue *ret_value, Fault *fault)
{
    Parser parser;
    GraphqlValue value;
    parser_begin(&parser, arena, text, fault);
    parse_value(&parser, true, &value);
    if (parser.token.kind != TOKEN_END)
        parser_unexpected(&parser, "the end of the value");
    int r = parser_result(&parser);
    if (r == 0)
        *ret_value = value;
    return r;
}
