/* Borrowed runs of bytes. See slice.h. */
#include "base/slice.h"

static unsigned char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : (unsigned char)c;
}

bool slice_equal_nocase(Slice a, Slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool slice_starts(Slice a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.len >= n && memcmp(a.ptr, prefix, n) == 0;
}

bool slice_starts_nocase(Slice a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.len >= n && slice_equal_nocase((Slice){a.ptr, n}, (Slice){prefix, n});
}

bool slice_ends(Slice a, const char *suffix)
{
    size_t n = strlen(suffix);
    return a.len >= n && memcmp(a.ptr + a.len - n, suffix, n) == 0;
}

Slice slice_trim(Slice a)
{
    while (a.len && (a.ptr[0] == ' ' || a.ptr[0] == '\t'))
        a.ptr++, a.len--;
    while (a.len && (a.ptr[a.len - 1] == ' ' || a.ptr[a.len - 1] == '\t'))
        a.len--;
    return a;
}

bool slice_cut(Slice a, char at, Slice *ret_head, Slice *ret_tail)
{
    const char *hit = a.len ? memchr(a.ptr, at, a.len) : NULL;
    if (!hit) {
        *ret_head = a;
        *ret_tail = (Slice){a.ptr + a.len, 0};
        return false;
    }
    size_t n = (size_t)(hit - a.ptr);
    *ret_head = (Slice){a.ptr, n};
    *ret_tail = (Slice){hit + 1, a.len - n - 1};
    return true;
}
