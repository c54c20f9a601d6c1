/* What waits for the audit within one turn of the loop: heads of answers, on their way to gates. They are
 * written here and nowhere else first, so that parking them copies nothing. When the room of a turn is used
 * up, further answers stay in their sockets until the next.
 */
#pragma once

#include "keeper/stream.h"

/* Where an answer's record is written, IPC_MAX_PAYLOAD bytes; NULL: no more in this turn. */
unsigned char *parked_room(Parked *parked);
/* The record that was written there goes to this stream's gate once the audit is. */
void parked_add(Parked *parked, Stream *stream, size_t len);
void parked_forget(Parked *parked, const Stream *stream); /* from stream_free() */

bool parked_any(const Parked *parked);

/* The audit was written, or (`error`) could not be: each goes out, or is withheld. */
void parked_release(Parked *parked, int error);

Parked *parked_new(void);
Parked *parked_free(Parked *parked);
