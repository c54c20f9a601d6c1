/* Tokens that a run is handed for real, since its policy says `reveal: true` and nothing else would do:
 * written into files that the supervisor has made for it, once that is on record in the audit, and
 * overwritten when the run ends or the keeper does.
 */
#pragma once

#include "keeper/run.h"

/* `file`: one for each of record->reveal, taken over. Nothing of the run has begun yet. -errno with a
 * sentence when one of them cannot be revealed: then none is. */
int reveal_tokens(Run *run, const KeeperRun *record, int *file, Fault *fault) MUST_USE;

void reveal_end(Run *run);
