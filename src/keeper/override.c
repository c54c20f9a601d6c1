/* A method override in a form's body. See override.h. */
#include "keeper/override.h"

static const char wanted[] = "_method";

void override_begin(OverrideScan *scan, const HttpHead *head)
{
    *scan = (OverrideScan){.before = '&'};
    for (size_t i = 0; i < head->n_header; i++) {
        Slice value = head->header[i].value;
        if (slice_is_nocase(head->header[i].name, "Content-Type") &&
            (slice_starts_nocase(value, "application/x-www-form-urlencoded") ||
             slice_starts_nocase(value, "multipart/")))
            scan->active = true;
    }
}

/* What stands before a parameter's name. */
static bool begins_name(unsigned char before)
{
    return before && strchr("&;\"'= \n", before);
}

static bool take(OverrideScan *scan, unsigned char c)
{
    if (c == (unsigned char)wanted[scan->matched] && (scan->matched || begins_name(scan->before)))
        scan->matched++;
    else
        scan->matched = c == '_' && begins_name(scan->before);
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
