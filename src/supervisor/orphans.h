/* Processes that a runner left behind when it was killed: the supervisor is their subreaper, so they become
 * its children, which it never started. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether a child is one that the supervisor started and still waits for. */
typedef bool OrphansKnown(pid_t pid, void *context);

/* Before anything is started: the children that there are now are somebody else's, and are not ended. A
 * shell's `purser run > >(tee log)` is purser with a tee for a child. */
void orphans_spare(void);

/* Kills and reaps every child that is not known, until there is none (at most a second). */
void orphans_end(OrphansKnown *known, void *context);
/* Reaps those that have ended by themselves. */
void orphans_reap(OrphansKnown *known, void *context);
