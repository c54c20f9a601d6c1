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

/* What stands before a parameter's name. */
static bool begins_name(unsigned char before)
{
    return before && strchr("&;\"'= +\n", before);
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
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

bool override_found(OverrideScan *scan, Slice piece)
{
    for (size_t i = 0; scan->active && i < piece.len; i++) {
        unsigned char c = (unsigned char)piece.ptr[i];
        if (scan->escape) {
            scan->value = (unsigned char)(scan->value << 4 | hex(c));
            if (--scan->escape)
                continue;
            c = scan->value;
        } else if (c == '%') {
            scan->escape = 2;
            scan->value = 0;
            continue;
        }
        if (take(scan, c))
            return true;
    }
    return false;
}
