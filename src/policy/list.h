/* Inside policy/: sorted lists of words, which rules are full of, so that a request's are found fast. */
#pragma once

#include "base/slice.h"
#include "base/wire.h"

void policy_list_sort(char **list, size_t n);
void policy_list_lower(char **list, size_t n);           /* ASCII letters */
bool policy_list_is_sorted(char *const *list, size_t n); /* and nothing is there twice */

/* Where `word` stands in a sorted list, or -1. nocase: the list is in lower case. */
ptrdiff_t policy_list_find(char *const *list, size_t n, Slice word, bool nocase);

void policy_list_put(WireWriter *wire, char *const *list, size_t n);
void policy_list_get(WireReader *wire, size_t max_text, uint32_t most, char ***ret_list, size_t *ret_n);
