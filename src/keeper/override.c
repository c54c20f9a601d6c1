/* A method override in a form's body. See override.h. */
#include "keeper/override.h"

static const char wanted[] = "_method";

static bool names_form(Slice type)
{
    static const Slice form[] = {SLICE_LITERAL("x-www-form-urlencoded"), SLICE_LITERAL("multipart/")};
    for (size_t i = 0; i < COUNT_OF(form); i++)
        for (size_t at = 0; at + form[i].len <= type.len; at++)
            if (slice_equal_nocase((Slice){type.ptr + at, form[i].len}, form[i]))
                return true;
    return false;
}

/* Rack takes a POST without a type for a form, and of several types, or of a list, servers take the first or
 * the last: so a body is none only if the one type that it has says so. */
void override_begin(OverrideScan *scan, const HttpHead *head)
{
    size_t types = 0;
    *scan = (OverrideScan){.before = '&'};
    for (size_t i = 0; i < head->n_header; i++) {
        Slice value = head->header[i].value;
        if (!slice_is_nocase(head->header[i].name, "Content-Type"))
            continue;
        types++;
        scan->active |= names_form(value) || value.len == 0 || !memchr(value.ptr, '/', value.len);
    }
    scan->active |= types != 1;
}

/* What is said behind "charset", from the equals sign on. Any that is not known to have ASCII's bytes for
 * ASCII's letters is none. */
static bool charset_is_plain(Slice rest)
{
    static const Slice plain[] = {SLICE_LITERAL("utf-8"), SLICE_LITERAL("us-ascii"),
                                  SLICE_LITERAL("iso-8859-"), SLICE_LITERAL("windows-125")};
    Slice value, parameters;
    slice_cut(rest, ';', &value, &parameters);
    value = slice_trim(value);
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = (Slice){value.ptr + 1, value.len - 2};
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        size_t len = plain[i].len, more = value.len - len;
        if (value.len >= len && slice_equal_nocase((Slice){value.ptr, len}, plain[i]))
            return plain[i].ptr[len - 1] == '-' || plain[i].ptr[len - 1] == '5' ? more == 1 || more == 2
                                                                                : more == 0;
    }
    return false;
}

static bool type_is_readable(Slice type)
{
    static const Slice word = SLICE_LITERAL("charset");
    for (size_t at = 0; at + word.len <= type.len; at++) {
        if (!slice_equal_nocase((Slice){type.ptr + at, word.len}, word))
            continue;
        Slice rest = slice_trim((Slice){type.ptr + at + word.len, type.len - at - word.len});
        if (rest.len && rest.ptr[0] == '*') /* charset*=utf-8''utf-16 */
            return false;
        if (rest.len && rest.ptr[0] == '=' && !charset_is_plain((Slice){rest.ptr + 1, rest.len - 1}))
            return false;
    }
    return true;
}

bool override_is_readable(const HttpHead *head)
{
    for (size_t i = 0; i < head->n_header; i++)
        if (slice_is_nocase(head->header[i].name, "Content-Type") && !type_is_readable(head->header[i].value))
            return false;
    return true;
}

/* What stands before a parameter's name; a colon in a part's Content-ID. */
static bool begins_name(unsigned char before)
{
    return before && strchr("&;\"'= +\t\n:", before);
}

/* PHP makes an underscore of a dot. */
static bool is_first(unsigned char c)
{
    return c == '_' || c == '.';
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool take(OverrideScan *scan, unsigned char c)
{
    if (c == '\\') /* in quotes what follows it is meant, whatever it is */
        return false;
    if (scan->matched && lower(c) == (unsigned char)wanted[scan->matched])
        scan->matched++;
    else
        scan->matched = is_first(c) && begins_name(scan->before);
    scan->before = c;
    return scan->matched == sizeof(wanted) - 1;
}

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One more byte of an escape. True: it is the last, and *c what it means; or it was no escape, so that
 * nothing of it is part of a name, and *c is a byte like any other. */
static bool unescape(OverrideScan *scan, unsigned char *c)
{
    int digit = hex(*c);
    if (digit < 0) {
        scan->escape = 0;
        scan->matched = 0;
        scan->before = '%';
        return true;
    }
    scan->value = (unsigned char)(scan->value << 4 | digit);
    if (--scan->escape)
        return false;
    *c = scan->value;
    return true;
}

bool override_found(OverrideScan *scan, Slice piece)
{
    for (size_t i = 0; scan->active && i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.ptr[i];
        bool escaped = scan->escape == 1 && hex(c) >= 0;
        if (scan->escape && !unescape(scan, &c))
            continue;
        if (c == '%' && !escaped) {
            scan->escape = 2;
            scan->value = 0;
        } else if (take(scan, c)) {
            return true;
        }
    }
    return false;
}
