/* The commands of purser-token; each returns 0 and has said what it did, or the code of its
 * sentence. */
#pragma once

#include "base/fault.h"
#include "token/options.h"

int token_set(const TokenOptions *options, Fault *fault) MUST_USE;
int token_list(const TokenOptions *options, Fault *fault) MUST_USE;
int token_remove(const TokenOptions *options, Fault *fault) MUST_USE;
int token_ask_passphrase(const TokenOptions *options, Fault *fault) MUST_USE; /* to descriptor 3 */
int token_rekey(const TokenOptions *options, Fault *fault) MUST_USE;
int token_mend_key(const TokenOptions *options, Fault *fault) MUST_USE; /* of a rekey that was killed */
