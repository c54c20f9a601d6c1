/* Tokens of sources: what is held (held.h) is put to use here, told to the supervisor and written into the
 * audit. One that is missing disturbs no other. The database credential is passed on when it is asked for.
 */
#pragma once

#include "keeper/held.h"

/* Begins to fetch the token of every used source. Each is told to the supervisor once it is known: those that
 * need no network before this returns. */
int token_start(Keeper *keeper) MUST_USE;
void token_free_all(Keeper *keeper);

/* IPC_KEEPER_CREDENTIAL: takes over the clerk's channel, sends the credential or why there is none. */
int token_send_credential(Keeper *keeper, Slice payload, int clerk_fd) MUST_USE;

/* From held.c. */
bool token_may_mint(
    Held *held); /* on record before it happens; also true when reading it makes no new token */
void token_changed(Held *held,
                   bool replaced); /* fetched, renewed, or gone; replaced: not the bytes of before */
void token_failed(Held *held, int result);
void token_withdrawn(Held *held); /* about to be given back: nobody uses it */
void token_given_back(Held *held, const StoreResult *result);
void token_settled(Keeper *keeper); /* runs may have waited for it */
void token_nothing(evutil_socket_t fd, short what, void *context);
