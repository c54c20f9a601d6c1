/* Tokens. See lexer.h. */
#include "graphql/lexer.h"

#include "graphql/graphql.h"

#define TEXT_OF(constant)  TEXT_OF_(constant)
#define TEXT_OF_(constant) #constant

static bool is_name_start(char c)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool lexer_is_name(Slice text)
{
    if (text.len == 0 || text.len > GRAPHQL_MAX_NAME || !is_name_start(text.ptr[0]))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_name_start(text.ptr[i]) && !is_digit(text.ptr[i]))
            return false;
    return true;
}

size_t lexer_check_characters(Slice text)
{
    size_t i = 0;
    while (i < text.len) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
        i++;
    }
    return i;
}

/* The byte `ahead` of the place; NUL, which no document holds, behind the end. */
static char peek(const Lexer *lexer, size_t ahead)
{
    return lexer->at + ahead < lexer->text.len ? lexer->text.ptr[lexer->at + ahead] : '\0';
}

static bool starts(const Lexer *lexer, const char *what)
{
    return slice_starts((Slice){lexer->text.ptr + lexer->at, lexer->text.len - lexer->at}, what);
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* White space, line ends, commas, comments, byte order marks. */
static void skip_ignored(Lexer *lexer)
{
    for (;;) {
        char c = peek(lexer, 0);
        if (c == ' ' || c == '\t' || c == ',' || is_line_end(c))
            lexer->at++;
        else if (c == '\xEF' && starts(lexer, "\xEF\xBB\xBF"))
            lexer->at += 3;
        else if (c == '#')
            while (lexer->at < lexer->text.len && !is_line_end(peek(lexer, 0)))
                lexer->at++;
        else
            return;
    }
}

static const char *take_digits(Lexer *lexer)
{
    if (!is_digit(peek(lexer, 0)))
        return "a number has no digit where one must follow";
    while (is_digit(peek(lexer, 0)))
        lexer->at++;
    return NULL;
}

static const char *take_number(Lexer *lexer, Token *token)
{
    const char *problem = NULL;
    token->kind = TOKEN_INT;
    if (peek(lexer, 0) == '-')
        lexer->at++;
    if (peek(lexer, 0) == '0') {
        lexer->at++;
        if (is_digit(peek(lexer, 0)))
            return "a number begins with a zero";
    } else {
        problem = take_digits(lexer);
    }
    if (!problem && peek(lexer, 0) == '.') {
        token->kind = TOKEN_FLOAT;
        lexer->at++;
        problem = take_digits(lexer);
    }
    if (!problem && (peek(lexer, 0) == 'e' || peek(lexer, 0) == 'E')) {
        token->kind = TOKEN_FLOAT;
        lexer->at++;
        if (peek(lexer, 0) == '+' || peek(lexer, 0) == '-')
            lexer->at++;
        problem = take_digits(lexer);
    }
    if (!problem && (peek(lexer, 0) == '.' || is_name_start(peek(lexer, 0))))
        return "a number is followed by a letter or a dot";
    return problem;
}

static const char *take_string(Lexer *lexer, Token *token)
{
    size_t from = ++lexer->at;
    token->kind = TOKEN_STRING;
    while (peek(lexer, 0) != '"') {
        if (lexer->at == lexer->text.len || is_line_end(peek(lexer, 0)))
            return "a string has no end on its line";
        if (peek(lexer, 0) == '\\') {
            if (string_escape(lexer->text, &lexer->at) <= 0)
                return "a string has an escape that is none, that is half of a surrogate pair, or that is "
                       "U+0000";
        } else {
            lexer->at++;
        }
    }
    token->text = (Slice){lexer->text.ptr + from, lexer->at - from};
    lexer->at++;
    return NULL;
}

static const char *take_block(Lexer *lexer, Token *token)
{
    size_t from = lexer->at += 3;
    token->kind = TOKEN_BLOCK;
    while (!starts(lexer, "\"\"\"")) {
        if (lexer->at == lexer->text.len)
            return "a block string has no end";
        lexer->at += starts(lexer, "\\\"\"\"") ? 4 : 1;
    }
    token->text = (Slice){lexer->text.ptr + from, lexer->at - from};
    lexer->at += 3;
    return NULL;
}

static const char *take_name(Lexer *lexer, Token *token)
{
    size_t from = lexer->at;
    token->kind = TOKEN_NAME;
    while (is_name_start(peek(lexer, 0)) || is_digit(peek(lexer, 0)))
        lexer->at++;
    token->text = (Slice){lexer->text.ptr + from, lexer->at - from};
    return token->text.len > GRAPHQL_MAX_NAME ? "a name is longer than " TEXT_OF(GRAPHQL_MAX_NAME) " bytes"
                                              : NULL;
}

static const char *take_token(Lexer *lexer, Token *token)
{
    char c = peek(lexer, 0);
    size_t from = lexer->at;
    const char *problem = NULL;
    if (is_name_start(c))
        return take_name(lexer, token);
    if (c == '"')
        return starts(lexer, "\"\"\"") ? take_block(lexer, token) : take_string(lexer, token);
    if (c == '-' || is_digit(c)) {
        problem = take_number(lexer, token);
    } else if (starts(lexer, "...")) {
        token->kind = TOKEN_SPREAD;
        lexer->at += 3;
    } else if (c && strchr("!$&():=@[]{|}", c)) {
        token->kind = TOKEN_PUNCTUATOR;
        lexer->at++;
    } else {
        return "a character stands where none can";
    }
    token->text = (Slice){lexer->text.ptr + from, lexer->at - from};
    return problem;
}

const char *lexer_next(Lexer *lexer, Token *ret_token, uint32_t *ret_at)
{
    skip_ignored(lexer);
    Token token = {.kind = TOKEN_END, .at = (uint32_t)lexer->at};
    *ret_at = token.at;
    if (lexer->at < lexer->text.len) {
        if (++lexer->tokens > GRAPHQL_MAX_TOKENS)
            return "it has more than " TEXT_OF(GRAPHQL_MAX_TOKENS) " tokens";
        const char *problem = take_token(lexer, &token);
        if (problem)
            return problem;
    }
    *ret_token = token;
    return NULL;
}
