/* Inside graphql/: tokens (October 2021 specification, section 2.1), one at a time. */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_PUNCTUATOR, /* one of ! $ & ( ) : = @ [ ] { | }, in `text` */
    TOKEN_SPREAD,     /* ... */
    TOKEN_NAME,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_STRING, /* `text` without its quotes, escapes still in it */
    TOKEN_BLOCK,  /* the same of a block string */
} TokenKind;

typedef struct Token {
    TokenKind kind;
    uint32_t at; /* its first byte */
    Slice text;
} Token;

typedef struct Lexer {
    Slice text; /* UTF-8, checked */
    size_t at;
    uint32_t tokens;
} Lexer;

/* The next token; at the end it is TOKEN_END for ever. NULL, or what is wrong, and where. */
const char *lexer_next(Lexer *lexer, Token *ret_token, uint32_t *ret_at);

/* Whether every character is one that the specification lets a document hold. The place of the first that is
 * not, or the length of the text. */
size_t lexer_check_characters(Slice text);

bool lexer_is_name(Slice text);

/* What a string token means, into `out`, which has room for as many bytes as the token has. The length. The
 * lexer has checked its escapes. */
size_t string_value(Slice raw, char *out);
size_t block_value(Slice raw, char *out);

/* Of one escape that begins at raw.ptr[*at] == '\\': the character that it means, *at behind it; -1: it is
 * none, or a half of a surrogate pair. */
int32_t string_escape(Slice raw, size_t *at);
