/* The command line of purser-token. A token given on it is refused, and never repeated. */
#pragma once

#include "base/fault.h"

#include <stdbool.h>

typedef struct TokenOptions {
    const char *name; /* NULL where the command takes none */
    const char *path, *key_file;
    bool passphrase, json, help;
    const char *host[64];
    size_t n_host;
} TokenOptions;

/* argv[0] is the command. -EINVAL with a sentence. */
int token_options_parse(int argc, char **argv, bool takes_name, TokenOptions *ret_options,
                        Fault *fault) MUST_USE;
