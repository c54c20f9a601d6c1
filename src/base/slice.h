/* A borrowed run of bytes: not owned, not terminated. */
#pragma once

#include "base/result.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct Slice {
    const char *ptr;
    size_t len;
} Slice;

#define SLICE_LITERAL(text) ((Slice){(text), sizeof(text) - 1})

static inline Slice slice_of(const char *text)
{
    return text ? (Slice){text, strlen(text)} : (Slice){"", 0};
}

/* Not for secrets: those are compared with sodium_memcmp (secret/). */
static inline bool slice_equal(Slice a, Slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(Slice a, const char *text)
{
    return slice_equal(a, slice_of(text));
}

bool slice_equal_nocase(Slice a, Slice b); /* ASCII only, no locale */

/* Lengths first, where the compiler knows one of them: header names are asked for by the dozen a request. */
static inline bool slice_is_nocase(Slice a, const char *text)
{
    Slice b = slice_of(text);
    return a.len == b.len && slice_equal_nocase(a, b);
}

bool slice_starts(Slice a, const char *prefix);
bool slice_starts_nocase(Slice a, const char *prefix);
bool slice_ends(Slice a, const char *suffix);
Slice slice_trim(Slice a); /* spaces and tabs at both ends */
/* Splits at the first `at`: true and both halves (without it), or false, *ret_head the whole, *ret_tail
 * empty. */
bool slice_cut(Slice a, char at, Slice *ret_head, Slice *ret_tail);
