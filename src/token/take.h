/* Takes one token from a person: typed on a terminal without echo, or from a pipe; checked and sealed. */
#pragma once

#include "store/store.h"

/* From standard input, which may be a terminal. `question` is for a terminal; `name` is for sentences. */
int token_take(const char *name, const char *question, Sealed **ret_token, Fault *fault) MUST_USE;

/* From /dev/tty, wherever standard input comes from. */
int token_take_terminal(const char *name, const char *question, Sealed **ret_token, Fault *fault) MUST_USE;

/* All that `fd` gives until its end. */
int token_take_pipe(const char *name, int fd, Sealed **ret_token, Fault *fault) MUST_USE;
