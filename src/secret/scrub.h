/* Takes a credential out of bytes that stream by, without changing their length (promise 5).
 *
 * The forms that are found: raw; base64 and base64url at each of the three alignments (so also inside Basic
 * user:token), also with line ends, \/, \u002F or %2F in them; percent-encoded, any of the bytes, both letter
 * cases; JSON-escaped, any of the characters, also with \u00XX and \/; hex, both cases. A hit is overwritten
 * with
 * '*'. Of base64, the characters that hold bits of the token alone: at most four bits at each end stay. A
 * token shorter than SECRET_MIN_TOKEN is refused: its forms are part of any text. Blanks at its ends do not
 * count, and are not looked for: a server takes them off the header that they came in. The token is kept
 * sealed and opened into the arena for each piece that is searched.
 *
 * Streaming: the last bytes of what came are held back in the Scrub until more comes or the answer ends,
 * always as many as the longest form has, less one. Their number depends on the token's length alone and not
 * on what the bytes are, so that nobody can see from it how much of a guess is right; nor can it be seen from
 * the time (form.h).
 */
#pragma once

#include "secret/secret.h"

typedef struct ScrubForms ScrubForms; /* of one token; shared by all streams that it may appear in */
typedef struct Scrub Scrub;           /* one stream */

int scrub_forms_new(Slice token, ScrubForms **ret_forms) MUST_USE;
ScrubForms *scrub_forms_free(ScrubForms *forms);
size_t scrub_longest(const ScrubForms *forms); /* no form has more bytes; a stream holds back one less */

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
