/* Tokens: fetched from their stores at start, each source for itself, so that one that is missing disturbs no
 * other. The database credential is passed on when it is asked for.
 */
#pragma once

#include "keeper/keeper.h"

/* Fetches the token of every used source and tells the supervisor how it went. */
int token_fetch_all(Keeper *keeper) MUST_USE;

/* IPC_KEEPER_CREDENTIAL: takes over the clerk's channel, sends the credential or why there is none. */
int token_send_credential(Keeper *keeper, Slice payload, int clerk_fd) MUST_USE;
