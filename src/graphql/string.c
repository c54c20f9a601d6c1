/* What strings mean: escapes (section 2.9.4 of the specification), and the indentation of block strings,
 * which is no part of their value. See lexer.h. */
#include "graphql/lexer.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four digits at `at`; -1: they are not. */
static int32_t code_unit(Slice raw, size_t at)
{
    int32_t unit = 0;
    if (at + 4 > raw.len)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        int digit = hex_value(raw.ptr[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static int32_t unicode_escape(Slice raw, size_t *at)
{
    int32_t high = code_unit(raw, *at), low;
    *at += 4;
    if (high < 0 || (high & 0xFC00) == 0xDC00)
        return -1;
    if ((high & 0xFC00) != 0xD800)
        return high;
    if (*at + 2 > raw.len || raw.ptr[*at] != '\\' || raw.ptr[*at + 1] != 'u')
        return -1;
    low = code_unit(raw, *at + 2);
    *at += 6;
    return low >= 0 && (low & 0xFC00) == 0xDC00 ? 0x10000 + ((high & 0x3FF) << 10 | (low & 0x3FF)) : -1;
}

int32_t string_escape(Slice raw, size_t *at)
{
    static const char written[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = *at + 1 < raw.len ? raw.ptr[*at + 1] : '\0';
    const char *which = c ? strchr(written, c) : NULL;
    if (c == 'u') {
        *at += 2;
        return unicode_escape(raw, at);
    }
    if (!which)
        return -1;
    *at += 2;
    return meant[which - written];
}

static size_t put_utf8(char *out, int32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(c | (n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
    return n;
}

size_t string_value(Slice raw, char *out)
{
    size_t n = 0;
    for (size_t at = 0; at < raw.len;) {
        if (raw.ptr[at] == '\\')
            n += put_utf8(out + n, string_escape(raw, &at));
        else
            out[n++] = raw.ptr[at++];
    }
    return n;
}

/* The lines of a block string, without their ends. */
static bool next_line(Slice *rest, Slice *ret_line)
{
    if (!rest->ptr)
        return false;
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != '\n' && rest->ptr[n] != '\r')
        n++;
    *ret_line = (Slice){rest->ptr, n};
    if (n == rest->len) {
        *rest = (Slice){NULL, 0};
        return true;
    }
    n += rest->ptr[n] == '\r' && n + 1 < rest->len && rest->ptr[n + 1] == '\n' ? 2 : 1;
    *rest = (Slice){rest->ptr + n, rest->len - n};
    return true;
}

static size_t indent_of(Slice line)
{
    size_t n = 0;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    return n;
}

typedef struct BlockShape {
    size_t indent;      /* that all lines but the first have in common; SIZE_MAX: no such line */
    size_t first, last; /* lines that are not blank, counted from 0; first > last: all are */
} BlockShape;

static BlockShape block_shape(Slice raw)
{
    BlockShape shape = {SIZE_MAX, SIZE_MAX, 0};
    Slice rest = raw, line;
    for (size_t n = 0; next_line(&rest, &line); n++) {
        size_t indent = indent_of(line);
        if (indent == line.len)
            continue;
        if (n > 0 && indent < shape.indent)
            shape.indent = indent;
        if (shape.first == SIZE_MAX)
            shape.first = n;
        shape.last = n;
    }
    return shape;
}

static size_t put_block_line(Slice line, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (slice_starts((Slice){line.ptr + i, line.len - i}, "\\\"\"\""))
            i++;
        out[n++] = line.ptr[i];
    }
    return n;
}

size_t block_value(Slice raw, char *out)
{
    BlockShape shape = block_shape(raw);
    Slice rest = raw, line;
    size_t len = 0;
    for (size_t n = 0; next_line(&rest, &line); n++) {
        if (shape.first == SIZE_MAX || n < shape.first || n > shape.last)
            continue;
        size_t off = n == 0 || shape.indent == SIZE_MAX ? 0 : shape.indent;
        off = off < line.len ? off : line.len;
        if (n > shape.first)
            out[len++] = '\n';
        len += put_block_line((Slice){line.ptr + off, line.len - off}, out + len);
    }
    return len;
}
