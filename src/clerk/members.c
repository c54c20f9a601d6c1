/* A JSON object, member by member. See members.h. */
#include "clerk/members.h"

#include "base/text.h"

#include <errno.h>

#define PLAIN_DIGITS 18 /* of a number: as many always fit into 64 bits */

/* The next byte that is no white space; NUL, which JSON has nowhere, at the end. */
static char peek(Members *members)
{
    for (; members->at < members->line.len; members->at++) {
        char c = members->line.ptr[members->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return c;
    }
    return '\0';
}

static bool at_end(Members *members)
{
    return peek(members) == '\0' && members->at == members->line.len;
}

static bool take(Members *members, char c)
{
    if (peek(members) != c)
        return false;
    members->at++;
    return true;
}

/* `members` is at the quote that begins it. */
static bool take_plain_text(Members *members, Input *input)
{
    Slice rest = {members->line.ptr + members->at + 1, members->line.len - members->at - 1};
    size_t n = 0;
    unsigned char any = 0;
    for (; n < rest.len && rest.ptr[n] != '"'; n++) {
        unsigned char c = (unsigned char)rest.ptr[n];
        if (c < 0x20 || c == '\\')
            return false;
        any |= c;
    }
    *input = (Input){.kind = INPUT_TEXT, .text = {rest.ptr, n}};
    if (n == rest.len || (any >= 0x80 && !text_is_utf8(input->text)))
        return false;
    members->at += n + 2;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `members` is at its sign or first digit. */
static bool take_plain_number(Members *members, Input *input)
{
    const char *text = members->line.ptr + members->at;
    size_t len = members->line.len - members->at, start = text[0] == '-', at = start;
    int64_t value = 0;
    for (; at < len && at - start < PLAIN_DIGITS && is_digit(text[at]); at++)
        value = value * 10 + (text[at] - '0');
    /* A nought in front is the whole number or an error; what goes on is longer, or no whole number. */
    if (at == start || (text[start] == '0' && at > 1) ||
        (at < len && (is_digit(text[at]) || text[at] == '.' || text[at] == 'e' || text[at] == 'E')))
        return false;
    *input = (Input){.kind = INPUT_INT, .integer = start ? -value : value};
    members->at += at;
    return true;
}

static Input input_of(json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return (Input){.kind = INPUT_TEXT, .text = {json_string_value(value), json_string_length(value)}};
    case JSON_INTEGER:
        return (Input){.kind = INPUT_INT, .integer = json_integer_value(value)};
    case JSON_REAL:
        return (Input){.kind = INPUT_REAL, .real = json_real_value(value)};
    case JSON_OBJECT:
    case JSON_ARRAY:
        return (Input){.kind = INPUT_JSON};
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return (Input){.kind = INPUT_BOOL};
}

static int take_value(Members *members, Member *member)
{
    char c = peek(members);
    member->null = false;
    member->value = NULL;
    if ((c == '"' && take_plain_text(members, &member->input)) ||
        ((c == '-' || is_digit(c)) && take_plain_number(members, &member->input)))
        return 0;
    json_error_t error;
    member->value = json_loadb(members->line.ptr + members->at, members->line.len - members->at,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    /* Behind a number within a value it passes over a NUL. */
    if (!member->value || memchr(members->line.ptr + members->at, '\0', (size_t)error.position))
        return -EINVAL;
    members->at += (size_t)error.position;
    member->null = json_is_null(member->value);
    member->input = input_of(member->value);
    return 0;
}

int members_next(Members *members, Member *ret_member)
{
    bool first = !members->begun;
    members->begun = true;
    if (first && !take(members, '{'))
        return -EINVAL;
    if (take(members, '}'))
        return at_end(members) ? -ENODATA : -EINVAL;
    if ((!first && !take(members, ',')) || peek(members) != '"' || take_value(members, ret_member))
        return -EINVAL;
    ret_member->key = ret_member->input.text;
    return take(members, ':') ? take_value(members, ret_member) : -EINVAL;
}
