/* Memory for bounded things. None of these returns NULL: when there is no memory left the process says so on
 * standard error and ends with status 71 (EX_OSERR), because nothing that it could still do would be right.
 * Sizes that a stranger chose are bounded by the caller before they come here.
 * The only place outside src/secret that names malloc (a test enforces it).
 */
#pragma once

#include "base/result.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed. count * size is checked for overflow. */
void *mem_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
#define MEM_NEW(T)          ((T *)mem_new(1, sizeof(T)))
#define MEM_NEW_ARRAY(T, n) ((T *)mem_new((n), sizeof(T)))

/* Grows an array to `count` elements; what is new is not initialised. */
void *mem_grow(void *old, size_t count, size_t size) MUST_USE __attribute__((returns_nonnull));

/* Copies; the result is NUL-terminated one past `len`. */
char *mem_dup(const void *bytes, size_t len) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((returns_nonnull)); /* text is not NULL */
char *mem_printf(const char *fmt, ...) FORMAT(1, 2) __attribute__((returns_nonnull));

void mem_free(void *p);                       /* takes NULL */
void mem_free_strings(char **list, size_t n); /* each string, then the list */

static inline void mem_free_pp(void *p)
{
    mem_free(*(void **)p);
}
#define CLEANUP_MEM CLEANUP(mem_free_pp)

/* Appends an element to a counted array: MEM_PUSH(config->source, config->n_source, value). */
#define MEM_PUSH(array, count, ...)                                                                          \
    do {                                                                                                     \
        (array) = mem_grow((array), (size_t)(count) + 1, sizeof(*(array)));                                  \
        (array)[(count)++] = (__VA_ARGS__);                                                                  \
    } while (0)
