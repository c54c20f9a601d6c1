/* Where purser's own parts lie, from where its executable lies: PREFIX/bin/purser has its roles in
 * PREFIX/libexec/purser and its policies in PREFIX/share/purser/policy. And where this user's state goes. */
#pragma once

#include "config/config.h"

typedef struct Paths {
    char program[1024]; /* purser itself */
    char libexec[1024];
    char policy[1024];
    char state[1024]; /* default of this user */
    ConfigForm form;  /* of the configuration to load */
} Paths;

int paths_find(Paths *ret_paths, Fault *fault) MUST_USE;

/* The path of the configuration that is used when none is named; NULL when there is none. */
const char *paths_usual_config(void);

/* The configuration to use: the one that was named, else ./purser.yaml, else /etc/purser/purser.yaml. Loads
 * it; on failure prints the sentence and returns an exit status; -1 when *ret_config is set. */
int paths_load_config(const char *named, const Paths *paths, Config **ret_config);
