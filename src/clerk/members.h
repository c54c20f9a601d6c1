/* The members of a line's JSON object (RFC 8259), one after the other, without building the object: that took
 * five sixths of a load's CPU time. What is plain, a text without an escape or a whole number of up to 18
 * digits, is taken from the line as it stands; any other value is jansson's to read, and lies in its arena.
 *
 * Whether the whole line is sound shows at its end only. That a key comes twice is the caller's to find.
 */
#pragma once

#include "clerk/row.h"

#include <jansson.h>

typedef struct Member {
    Slice key;
    bool null;
    Input input;   /* unless it is null; an INPUT_JSON has no text yet */
    json_t *value; /* borrowed; NULL: it was plain, and `input` is all there is */
} Member;

typedef struct Members {
    Slice line;
    size_t at;
    bool begun;
} Members;

#define MEMBERS_OF(text) ((Members){.line = (text)})

/* The next one; its texts are valid as long as the line and the arena are. -ENODATA: that was all, and
 * nothing but white space follows the object; -EINVAL: this is no JSON object, or there is no memory for it.
 */
int members_next(Members *members, Member *ret_member) MUST_USE;
