/* A token is being replaced, by a purser-rotate that the supervisor speaks for: its requests are held for a
 * moment, and the store is read at once.
 *
 *   HOLD     new requests of the token wait, HOLD_MOST_US at most and KEEPER_MAX_HOLDING of all tokens
 * together; what is under way goes on. HELD is said when nothing is any more, or after HOLD_DRAIN_US. READ
 * the store is read again, by a call that begins after this. WAS_READ is said when the token that came is in
 * use and nothing is under way that was sent with another, or after HOLD_DRAIN_US. GO_ON    what waits is
 * sent, with the token that there is now.
 *
 * A request that waits holds no connection and no token; its gate is not read, so the client waits too. One
 * that was answered 401 meanwhile waits with them, and is asked again where that is safe.
 */
#pragma once

#include "keeper/held.h"
#include "keeper/stream.h"

#define HOLD_MOST_US       (30L * 1000000)
#define HOLD_DRAIN_US      (10L * 1000000)
#define KEEPER_MAX_HOLDING 512

/* From request.c: true when the stream waits now (or was refused, because too many do). */
bool hold_takes(Stream *stream);
void hold_forget(Stream *stream); /* from whoever ends a stream that waits */

/* The supervisor's records; their payload is a u32, the source. -EPROTO: it is none. */
int hold_take_record(Keeper *keeper, uint16_t type, Slice payload) MUST_USE;
void hold_was_read(Held *held, bool well); /* from held.c: a fetch has ended */
void hold_turn(Keeper *keeper);            /* at the end of each turn: says what has come true */
