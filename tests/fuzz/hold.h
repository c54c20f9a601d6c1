/* What must be so of whatever a fuzzer has read. */
#pragma once

#include "base/text.h"

#include <stdlib.h>

static inline void hold(bool condition)
{
    if (!condition)
        abort();
}

/* May be shown on a terminal. */
static inline bool is_printable(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return text_is_utf8(slice_of(text));
}
