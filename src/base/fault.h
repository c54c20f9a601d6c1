/* A sentence for a person: what is wrong, where, what to do. Fixed size, no allocation, never holds a secret.
 * The code that goes with it is returned by the function that filled it in.
 */
#pragma once

#include "base/result.h"

typedef struct Fault {
    char text[768]; /* empty: no fault; too long is cut with "..." */
} Fault;

/* Fills in the sentence and returns `code`, so that `return fault_set(fault, -EINVAL, "...")` reads well.
 * Control characters of what is inserted are escaped. fault may be NULL. */
int fault_set(Fault *fault, int code, const char *fmt, ...) FORMAT(3, 4);

/* Puts "prefix: " before a sentence that is already there; returns `code`. */
int fault_prefix(Fault *fault, int code, const char *fmt, ...) FORMAT(3, 4);
