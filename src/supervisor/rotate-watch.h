/* The supervisor's side of a rotation that runs beside it (rotate/agent.h): hears what a purser-rotate asks
 * in STATE/rotate, has the keeper do it, and says so. What it reads is its own user's, of one fixed form. */
#pragma once

#include "supervisor/keeper-link.h"
#include "supervisor/state.h"

#include <event2/event.h>

typedef struct RotateWatch RotateWatch;

/* All borrowed. Makes STATE/rotate. NULL after a warning: a rotation then waits as long as it takes without.
 */
RotateWatch *rotate_watch_new(struct event_base *base, const State *state, const Config *config,
                              KeeperLink *keeper);
RotateWatch *rotate_watch_free(RotateWatch *watch); /* takes NULL, returns NULL */

/* IPC_KEEPER_HELD, IPC_KEEPER_WAS_READ. -EPROTO. */
int rotate_watch_answer(RotateWatch *watch, const IpcRecord *record) MUST_USE;
