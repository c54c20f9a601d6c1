/* What the files of keyring.h share. */
#pragma once

#include "store/keyring-format.h"

/* PATH.lock, until the descriptor is closed; waits two seconds. -EBUSY with a sentence. */
int keyring_take_lock(const char *path, int *ret_fd, Fault *fault) MUST_USE;
/* Reads what the key's descriptor says and derives the lock's key. What was said is wiped. */
int keyring_derive(KeyringLock *lock, const KeyringKey *key, Fault *fault) MUST_USE;
/* Whole or not at all, and on the disk. */
int keyring_replace(const char *path, const Keyring *keyring, const KeyringLock *lock, Fault *fault) MUST_USE;
