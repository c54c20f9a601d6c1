/* Prepared environments: a retriever's Python virtual environment, built before any lease exists by
 * purser-exec as a user that is not the script's, and kept by the hash of what went into it. */
#pragma once

#include "config/config.h"
#include "supervisor/state.h"

typedef struct Environment {
    char name[128]; /* NAME-HASH below STATE/envs */
    char path[1300];
    bool ready; /* was built already */
} Environment;

/* Which environment a retriever needs; `python` is the interpreter's path. */
int environment_find(const State *state, const Retriever *retriever, const char *package_index,
                     const char *python, Environment *ret_environment, Fault *fault) MUST_USE;

/* Makes its empty folder, owned by `user`; what was left half-built is removed first. */
int environment_begin(const State *state, const Environment *environment, const UserId *user,
                      Fault *fault) MUST_USE;
/* Marks it ready. */
int environment_finish(const State *state, const Environment *environment, Fault *fault) MUST_USE;

/* The interpreter to prepare and run with: /usr/bin/python3, or the first python3 in PATH. -ENOENT with a
 * sentence. */
int environment_python(char *out, size_t size, Fault *fault) MUST_USE;
