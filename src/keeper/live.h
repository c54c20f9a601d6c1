/* A token in use: sealed, with what is searched for in answers. Shared by the source and by the streams that
 * have sent it, so that one which was replaced in the store is still found in the answers to its own
 * requests.
 */
#pragma once

#include "secret/scrub.h"

typedef struct Live {
    unsigned users;
    Sealed *token;
    ScrubForms *forms;
} Live;

/* Takes the token over. -ENOMEM: no locked memory is left; -EBADMSG: it has lines, which no header can carry.
 * One user: the caller. */
int live_new(Sealed *token, Live **ret_live) MUST_USE;
Live *live_use(Live *live);  /* one more user; takes NULL */
Live *live_drop(Live *live); /* one less; takes NULL, returns NULL */
