/* Finds every place of a text where a form of the token begins (form.h).
 *
 * The usual byte costs little: eight bytes at a time are hashed and looked up, and what escapes (\\ and %) is
 * looked at one by one. Neither depends on how much of the token is there: a look-up tells of eight bytes at
 * once, under a key that is another one for each piece, and an escape is one whatever it hides.
 */
#pragma once

#include "secret/form.h"

typedef struct Hit {
    size_t at, len;
} Hit;

/* By their beginnings. */
typedef struct Hits {
    Hit *hit;
    size_t n;
} Hits;

void find_prepare(Scan *scan); /* from scan->token and len, at least SECRET_MIN_TOKEN */

typedef enum FindIn {
    FIND_IN_BODY,
    FIND_IN_HEAD, /* no form goes on behind the end of a header's line */
} FindIn;

/* Those that begin before `end`; hits: {0} before, hits_done() after. */
void find_forms(const Scan *scan, FindIn in, Slice text, size_t end, Hits *hits);
void hits_done(Hits *hits);
