/* Waits until every agent must have read the store since a switch, or has said so. */
#pragma once

#include "ipc/rotate.h"
#include "rotate/say.h"

#define SETTLE_MARGIN 5000000 /* us: for requests that are on their way with the one before */

/* Whether a purser runs on this state folder, or elsewhere maybe: nobody else reads this machine's keyring.
 */
bool settle_somebody_runs(const RotateSetup *setup);
bool settle_purser_runs(const RotateSetup *setup); /* on this state folder */
/* How long at most, in us. */
uint64_t settle_most(const RotateSetup *setup);
/* switched: wall us. */
/* beat: called every ten seconds; NULL: not. */
void settle_wait(const RotateSetup *setup, int64_t switched, const Say *say, void (*beat)(void *context),
                 void *context);

/* Whether STATE/tokens.json says that this source's token was fetched since. Pure. */
bool settle_has_fetched(Slice tokens, const char *source, int64_t since);
