/* Where the new token comes from: typed, standard input, or a command of the user's. */
#pragma once

#include "ipc/rotate.h"
#include "secret/secret.h"

/* Checked and sealed. -errno or STORE_E_BAD_TOKEN with a sentence. */
int get_token(const RotateSetup *setup, Sealed **ret_token, Fault *fault) MUST_USE;
