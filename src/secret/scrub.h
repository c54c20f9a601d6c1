/* Takes a credential out of bytes that stream by, without changing their length (promise 5).
 *
 * The forms that are found: raw; base64 and base64url at each of the three alignments (so also inside Basic
 * user:token), also with line ends, \/ or %2F in them; percent-encoded, any of the bytes, both letter cases;
 * JSON-escaped, any of the characters, also with \u00XX and \/; hex, both cases. A hit is overwritten with
 * '*'. Of base64, the characters that hold bits of the token alone: at most four bits at each end stay. A
 * token shorter than 4 bytes is searched raw only: its other forms are part of any text. (A raw one of 1 byte
 * blanks that byte everywhere: such a token protects nothing, but it does not come through either.) The token
 * is kept sealed and opened into the arena for each piece that is searched.
 *
 * Streaming: the longest tail that could be the beginning of a form is held back in the Scrub until the next
 * piece or the last one. Bounded by the longest form.
 */
#pragma once

#include "secret/secret.h"

typedef struct ScrubForms ScrubForms; /* of one token; shared by all streams that it may appear in */
typedef struct Scrub Scrub;           /* one stream */

int scrub_forms_new(Slice token, ScrubForms **ret_forms) MUST_USE;
ScrubForms *scrub_forms_free(ScrubForms *forms);
size_t scrub_longest(const ScrubForms *forms); /* most bytes that a stream holds back */

Scrub *scrub_new(void);          /* kept with a connection and used again: no allocation per request */
Scrub *scrub_free(Scrub *scrub); /* wipes */
void scrub_begin(Scrub *scrub,
                 const ScrubForms *forms); /* wipes what was held; forms NULL: a stream was given up */

/* Takes `len` bytes and returns in *ret_out what may go on, in place or in the Scrub's own room (valid until
 * the next call). `bytes` is altered. `last`: nothing is held back. *ret_hits grows by the number of hits.
 * -EINVAL: no forms; -ENOMEM: the arena is used up; -EBADMSG: the sealed token was altered. Then nothing of
 * the piece may go on. */
int scrub_piece(Scrub *scrub, char *bytes, size_t len, bool last, Slice *ret_out,
                unsigned *ret_hits) MUST_USE;

/* scrub_begin(), then an answer's `head` as scrub_whole() has it, and its body's first piece (maybe empty) as
 * scrub_piece() has it: the token is opened once for both. */
int scrub_first(Scrub *scrub, const ScrubForms *forms, Slice head, Slice piece, bool last, Slice *ret_out,
                unsigned *ret_hits) MUST_USE;

/* A whole value at once, in place (a header); returns the number of hits. If it cannot be searched, all of it
 * is overwritten. */
unsigned scrub_whole(const ScrubForms *forms, char *bytes, size_t len);
