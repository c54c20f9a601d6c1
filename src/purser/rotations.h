/* Rotations that `purser schedule` begins by the sources' own cron lines, each a purser-rotate of its own,
 * several of them at once. One that was left half way is gone on with. One token is rotated once, whoever
 * names it. */
#pragma once

#include "supervisor/rotate-link.h"
#include "supervisor/supervisor.h"

typedef struct Rotations Rotations;

/* Borrowed; plans each from now. */
Rotations *rotations_new(const Session *session, Supervisor *supervisor);
Rotations *rotations_free(Rotations *rotations); /* after the supervisor's loop; takes NULL, returns NULL */

/* Begins what is due; plans anew where the clock was set back. Returns when it is to be called again at the
 * latest, wall us; 0: never. */
int64_t rotations_due(Rotations *rotations, int64_t now);
