/* Where the keyring's key comes from: a passphrase, systemd's credentials folder, or the key file, in this
 * order. */
#pragma once

#include "store/keyring.h"
#include "token/options.h"

/* A descriptor that yields the key. `fresh`: there is no keyring yet, so that a missing key file is made, and
 * a passphrase asked twice. Negative errno with a sentence. */
int token_key_open(const TokenOptions *options, bool fresh, KeyringKey *ret_key, Fault *fault) MUST_USE;
