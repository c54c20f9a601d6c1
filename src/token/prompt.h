/* Asks a person for a secret on a terminal without showing it, or takes it from a pipe. Bytes go straight
 * into the caller's room, which lies in the arena.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

/* One line of the terminal `fd`: not echoed; the terminal is as it was afterwards, also after SIGINT,
 * SIGTERM, SIGTSTP. Erase, kill and end-of-file keys work. `len` is not limited by the terminal's own line.
 * -E2BIG past the room. */
int prompt_terminal(int fd, const char *question, char *out, size_t room, size_t *ret_len,
                    Fault *fault) MUST_USE;

/* All that `fd` gives until its end; -E2BIG past the room. */
int prompt_pipe(int fd, char *out, size_t room, size_t *ret_len, Fault *fault) MUST_USE;

/* A passphrase from /dev/tty, wherever standard input comes from; twice if `confirm`. */
int prompt_passphrase(bool confirm, char *out, size_t room, size_t *ret_len, Fault *fault) MUST_USE;
