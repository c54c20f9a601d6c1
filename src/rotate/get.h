/* Where the new token comes from: typed, standard input, or a command of the user's. */
#pragma once

#include "ipc/rotate.h"
#include "secret/secret.h"

/* Before the process locks itself in: the child that is to become the user's command, which it is not any
 * more afterwards. It waits; when nobody tells it to begin it ends with this process. -errno with a sentence.
 */
int get_prepare(const RotateSetup *setup, Fault *fault) MUST_USE;

/* Checked and sealed. -errno or STORE_E_BAD_TOKEN with a sentence. */
int get_token(const RotateSetup *setup, Sealed **ret_token, Fault *fault) MUST_USE;
