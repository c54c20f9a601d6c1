/* The keyring as a store of the keeper's: opened once, with a key file or a passphrase, and read again every
 * minute and after a 401, so that a token that was set or rotated is used without a restart. The key that
 * opened it stays in the arena for that; the file comes from the supervisor each time (files.h). */
#pragma once

#include "store/files.h"
#include "store/keyring-format.h"

/* Takes both over; the others are borrowed. `key_path`: the key file, read again when the keyring has another
 * key
 * (`purser token rekey`); "": it is a passphrase. */
Store *store_keyring_new(Keyring *keyring, KeyringLock lock, StoreFiles *files, const char *path,
                         const char *key_path);
