/* What a person, or a script (--json: an object a line), is told on standard output as a rotation goes on. */
#pragma once

#include "base/result.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Say {
    const char *source;
    bool json;
    bool tells; /* the result goes to ROTATE_RESULT_FD too */
} Say;

/* "  switch   the new token becomes current" */
void say_step(const Say *say, const char *step, const char *fmt, ...) FORMAT(3, 4);
/* On a terminal alone: how long still, in the same place. 0: the line is done with. */
void say_left(const Say *say, uint64_t left_us);
/* {"source","result","message"}, or the sentence. */
void say_result(const Say *say, const char *result, const char *fmt, ...) FORMAT(3, 4);
/* On standard error, and as the result "failed". */
void say_failed(const Say *say, const char *sentence);
