/* The parser's tools: tokens, errors, bounds. See parser.h. */
#include "graphql/parser.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

GraphqlPlace graphql_place(Slice text, uint32_t at)
{
    GraphqlPlace place = {1, 1};
    for (size_t i = 0; i < at && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool ends = c == '\n' || (c == '\r' && !(i + 1 < text.len && text.ptr[i + 1] == '\n'));
        if (ends)
            place = (GraphqlPlace){place.line + 1, 1};
        else if ((c & 0xC0) != 0x80 && c != '\r')
            place.column++;
    }
    return place;
}

void parser_fail(Parser *parser, uint32_t at, const char *fmt, ...)
{
    char text[400];
    va_list args;
    if (parser->failed)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    GraphqlPlace place = graphql_place(parser->lexer.text, at);
    fault_set(parser->fault, 0, "the GraphQL document, line %u, column %u: %s", place.line, place.column,
              text);
    parser->failed = true;
    parser->token = (Token){.kind = TOKEN_END, .at = at};
}

int parser_result(Parser *parser)
{
    return parser->failed ? -EINVAL : 0;
}

/* Names and punctuators are repeated; strings and numbers may be anybody's business. */
void parser_unexpected(Parser *parser, const char *wanted)
{
    const Token *token = &parser->token;
    const char *what = token->kind == TOKEN_END                                    ? "the document ends"
                       : token->kind == TOKEN_STRING || token->kind == TOKEN_BLOCK ? "there is a string"
                       : token->kind == TOKEN_INT || token->kind == TOKEN_FLOAT    ? "there is a number"
                                                                                   : NULL;
    if (what)
        parser_fail(parser, token->at, "%s where %s must stand", what, wanted);
    else
        parser_fail(parser, token->at, "there is '%.*s' where %s must stand", (int)token->text.len,
                    token->text.ptr, wanted);
}

void parser_next(Parser *parser)
{
    uint32_t at;
    if (parser->failed)
        return;
    const char *problem = lexer_next(&parser->lexer, &parser->token, &at);
    if (problem)
        parser_fail(parser, at, "%s", problem);
}

void parser_begin(Parser *parser, GraphqlArena *arena, Slice text, Fault *fault)
{
    *parser = (Parser){.arena = arena, .lexer = {.text = text}, .fault = fault};
    size_t odd = lexer_check_characters(text);
    if (text.len > GRAPHQL_MAX_BYTES)
        parser_fail(parser, 0, "it is larger than %u KiB", GRAPHQL_MAX_BYTES >> 10);
    else if (odd < text.len)
        parser_fail(parser, (uint32_t)odd, "there is a control character");
    else if (!text_is_utf8(text))
        parser_fail(parser, 0, "it is not UTF-8");
    parser_next(parser);
}

bool parser_at(const Parser *parser, char punctuator)
{
    return parser->token.kind == TOKEN_PUNCTUATOR && parser->token.text.ptr[0] == punctuator;
}

bool parser_at_word(const Parser *parser, const char *word)
{
    return parser->token.kind == TOKEN_NAME && slice_is(parser->token.text, word);
}

bool parser_take(Parser *parser, char punctuator)
{
    if (!parser_at(parser, punctuator))
        return false;
    parser_next(parser);
    return true;
}

void parser_expect(Parser *parser, char punctuator)
{
    char wanted[] = {'\'', punctuator, '\'', '\0'};
    if (!parser_take(parser, punctuator))
        parser_unexpected(parser, wanted);
}

Slice parser_name(Parser *parser, const char *what)
{
    Slice name = {"", 0};
    if (parser->token.kind != TOKEN_NAME) {
        parser_unexpected(parser, what);
        return name;
    }
    name = parser->token.text;
    parser_next(parser);
    return name;
}

Slice parser_variable(Parser *parser)
{
    parser_expect(parser, '$');
    return parser_name(parser, "a variable's name");
}

bool parser_enter(Parser *parser)
{
    if (++parser->nesting > GRAPHQL_MAX_NESTING)
        parser_fail(parser, parser->token.at, "more than %d brackets are open", GRAPHQL_MAX_NESTING);
    return !parser->failed;
}

void parser_leave(Parser *parser)
{
    parser->nesting--;
}

void *parser_take_memory(Parser *parser, size_t size)
{
    void *at = parser->failed ? NULL : graphql_arena_take(parser->arena, size);
    if (!at)
        parser_fail(parser, parser->token.at, "it is larger than purser takes");
    return at;
}
