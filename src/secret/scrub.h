/* Takes a credential out of bytes that stream by, without changing their length (promise 5).
 *
 * The forms that are found: raw; base64 and base64url at each of the three alignments (so also inside Basic
 * user:token); percent-encoded, both letter cases; JSON-escaped, also with \u00XX and \/; hex, both cases. A hit is
 * overwritten with '*'. The forms are kept sealed and opened for each piece that is searched.
 *
 * Streaming: the longest tail that could be the beginning of a form is held back in the Scrub until the next piece or
 * scrub_end(). Bounded by the longest form.
 */
#pragma once

#include "secret/secret.h"

typedef struct ScrubForms ScrubForms; /* of one token; shared by all streams that it may appear in */
typedef struct Scrub Scrub;           /* one stream */

int scrub_forms_new(Slice token, ScrubForms **ret_forms) MUST_USE;
ScrubForms *scrub_forms_free(ScrubForms *forms);
size_t scrub_longest(const ScrubForms *forms); /* most bytes that a stream holds back */

Scrub *scrub_new(void);              /* kept with a connection and used again: no allocation per request */
Scrub *scrub_free(Scrub *scrub);     /* wipes */
void scrub_begin(Scrub *scrub, const ScrubForms *forms);

/* Takes `len` bytes and returns in *ret_out what may go on, in place or in the Scrub's own room (valid until the next
 * call). `bytes` is altered. `last`: nothing is held back. *ret_hits grows by the number of hits. */
int scrub_piece(Scrub *scrub, char *bytes, size_t len, bool last, Slice *ret_out, unsigned *ret_hits) MUST_USE;

/* A whole value at once, in place (a header); returns the number of hits. */
unsigned scrub_whole(const ScrubForms *forms, char *bytes, size_t len);
