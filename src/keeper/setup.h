/* The keeper's beginning: records until START; nothing is parsed yet that a stranger wrote. */
#pragma once

#include "keeper/keeper.h"

/* Takes SETUP, SOURCE..., POLICY..., START. -EPROTO when the order or a record is wrong. */
int setup_receive(Keeper *keeper, Fault *fault) MUST_USE;
/* The walls (sandbox/sandbox.h): from here on only what the sources need. */
int setup_lock_in(Keeper *keeper, Fault *fault) MUST_USE;
/* Opens the keyring; why it stays shut is told with each of its tokens. */
void setup_open_keyring(Keeper *keeper);
int setup_take_file(Keeper *keeper, IpcRecord *record) MUST_USE; /* IPC_KEEPER_FILE */
void setup_done(Keeper *keeper);

/* A record to the supervisor; waits while it does not take it. */
int setup_tell(Keeper *keeper, uint16_t type, Slice payload) MUST_USE;
