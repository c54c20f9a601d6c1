/* What the audit has of a stream's requests: one record for each that is refused, or fails, or whose answer's
 * head has come; a short one more when the answer's body ends later than that; and one before a request goes
 * up that may change something.
 */
#pragma once

#include "keeper/stream.h"

/* "request.sent": the request may change something, so that it was sent is on record before it is. */
/* What passes though no rule allows it (`mode: audit`): for the run's report, as `would-refuse`. */
void record_would(Stream *stream);
void record_sent(Stream *stream);

/* "request": the head has come, with `received` bytes of the body; `whole`: that was all of it. */
void record_answer(Stream *stream, unsigned status, bool whole);

/* "answer.end": the rest of the body has come, or is broken off (`code` and sentence say why). Nothing when
 * the answer was whole with its head. */
void record_end(Stream *stream, bool whole, const char *code, const char *sentence);

/* "refused", "failed": instead of an answer. Also counts and reports. */
void record_refusal(Stream *stream, const Refused *refused);

/* The client has gone while its request was under way. */
void record_left(Stream *stream);
