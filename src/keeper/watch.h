/* Hears from a store, where it can say so (Kubernetes' watch), that a token may be another one now: so a
 * rotation or a revocation is noticed within a second, not within `refresh`, which goes on beside it. What is
 * heard carries no token: it only has the store read again. Without the right to watch nothing changes but
 * that.
 */
#pragma once

#include "keeper/held.h"

#define WATCH_MOST     8       /* at a time, of a keeper: each holds a connection to the store */
#define WATCH_AFTER_US 2000000 /* a keeper that lives shorter than this needs none */

typedef struct Watch Watch;

/* After each fetch, whatever came of it: begins, if there is none yet and the store can. */
void watch_begin(Held *held);
Watch *watch_free(Watch *watch); /* takes NULL, returns NULL */
