/* See list.h. */
#include "policy/list.h"

#include "base/mem.h"

#include <stdlib.h>

static int compare_pointed(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void policy_list_sort(char **list, size_t n)
{
    if (n)
        qsort(list, n, sizeof(*list), compare_pointed);
}

void policy_list_lower(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (char *c = list[i]; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
}

bool policy_list_is_sorted(char *const *list, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(list[i - 1], list[i]) >= 0)
            return false;
    return true;
}

static int compare(Slice word, const char *text, bool nocase)
{
    size_t len = strlen(text);
    int r = nocase ? strncasecmp(word.ptr, text, word.len < len ? word.len : len)
                   : strncmp(word.ptr, text, word.len < len ? word.len : len);
    return r ? r : (word.len > len) - (word.len < len);
}

ptrdiff_t policy_list_find(char *const *list, size_t n, Slice word, bool nocase)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = compare(word, list[middle], nocase);
        if (r == 0)
            return (ptrdiff_t)middle;
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void policy_list_put(WireWriter *wire, char *const *list, size_t n)
{
    wire_put_u32(wire, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        wire_put_text(wire, list[i]);
}

void policy_list_get(WireReader *wire, size_t max_text, uint32_t most, char ***ret_list, size_t *ret_n)
{
    uint32_t n = wire_get_u32(wire);
    wire->failed |= n > most;
    if (wire->failed)
        n = 0;
    *ret_list = n ? MEM_NEW_ARRAY(char *, n) : NULL;
    for (uint32_t i = 0; i < n; i++)
        (*ret_list)[i] = wire_dup_text(wire, max_text);
    *ret_n = n;
}
