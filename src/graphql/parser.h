/* Inside graphql/: what the parts of the parser share. Errors stick: after the first one every token is the
 * end, so that each loop ends, and what was made so far is thrown away. */
#pragma once

#include "graphql/graphql.h"
#include "graphql/lexer.h"

typedef struct Parser {
    GraphqlArena *arena;
    Lexer lexer;
    Token token; /* the one that is looked at */
    unsigned nesting;
    bool failed;
    Fault *fault;
} Parser;

/* Looks at the first token. */
void parser_begin(Parser *parser, GraphqlArena *arena, Slice text, Fault *fault);

/* Fills in the sentence with its place, once. */
void parser_fail(Parser *parser, uint32_t at, const char *fmt, ...) FORMAT(3, 4);
void parser_unexpected(Parser *parser, const char *wanted);
int parser_result(Parser *parser) MUST_USE; /* 0, -EINVAL */

void parser_next(Parser *parser);
bool parser_at(const Parser *parser, char punctuator);
bool parser_at_word(const Parser *parser, const char *word);
bool parser_take(Parser *parser, char punctuator);   /* if it stands there */
void parser_expect(Parser *parser, char punctuator); /* it must */
Slice parser_name(Parser *parser, const char *what);
Slice parser_variable(Parser *parser); /* $name */

/* Around everything that recurses: false past the bound. parser_leave() belongs to each. */
bool parser_enter(Parser *parser);
void parser_leave(Parser *parser);

/* Arena; NULL fails the parser. */
void *parser_take_memory(Parser *parser, size_t size);
#define PARSER_NEW(parser, T) ((T *)parser_take_memory((parser), sizeof(T)))

/* value.c */
void parse_value(Parser *parser, bool constant, GraphqlValue *ret_value);
GraphqlEntry *parse_arguments(Parser *parser, bool constant); /* none, or in parentheses */
GraphqlDirective *parse_directives(Parser *parser, bool of_selection);
Slice parse_type(Parser *parser);
