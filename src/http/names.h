/* Inside http/: lists of header and parameter names, looked through for every header of every request. Most
 * names are told apart by their length and first letter, so that hardly any is compared whole.
 */
#pragma once

#include "base/slice.h"

#define NAME(literal)                                                                                        \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    } /* lower case */

static inline bool name_is_one_of(Slice name, const Slice *list, size_t n)
{
    if (name.len == 0)
        return false;
    char first = name.ptr[0] >= 'A' && name.ptr[0] <= 'Z' ? (char)(name.ptr[0] | 0x20) : name.ptr[0];
    for (size_t i = 0; i < n; i++)
        if (list[i].len == name.len && list[i].ptr[0] == first && slice_equal_nocase(list[i], name))
            return true;
    return false;
}
