/* The hosts of a source. See config.h. Also in the gate and the keeper: one reading of a pattern. */
#include "config/config.h"

bool host_matches(const char *pattern, Slice name)
{
    if (pattern[0] != '*')
        return slice_is(name, pattern);
    Slice suffix = slice_of(pattern + 1); /* ".blob.example" */
    const char *dot = memchr(name.ptr, '.', name.len);
    return dot && dot > name.ptr && slice_equal((Slice){dot, (size_t)(name.ptr + name.len - dot)}, suffix);
}
