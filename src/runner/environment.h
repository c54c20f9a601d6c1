/* The script's environment, built from nothing: what is not set here, the script does not have. */
#pragma once

#include "base/slice.h"

#define ENVIRONMENT_MAX 512

typedef struct Environment {
    char *entry[ENVIRONMENT_MAX + 1]; /* "NAME=value", ends with NULL: what execve takes */
    size_t n;
} Environment;

void environment_done(Environment *environment); /* wipes: leases are in it */
#define CLEANUP_ENVIRONMENT CLEANUP(environment_done)

/* Replaces. -EINVAL: the name is empty or has '=' or NUL in it, or the value has NUL; -ENOBUFS: too many. */
int environment_set(Environment *environment, Slice name, Slice value) MUST_USE;
int environment_set_text(Environment *environment, const char *name, const char *value) MUST_USE;
const char *environment_get(const Environment *environment, const char *name); /* NULL: not set */

/* What any program expects, before the gate's variables, which may replace it: PATH, LANG, USER, ... */
int environment_set_usual(Environment *environment, const char *name) MUST_USE;

/* The folders, after them; venv NULL: none. Puts the virtual environment first in PATH. */
int environment_set_folders(Environment *environment, const char *scratch, const char *output_dir,
                            const char *venv) MUST_USE;

/* A program of an absolute path: its folder comes last in PATH. */
int environment_add_program(Environment *environment, const char *path) MUST_USE;

/* Each variable by which a library is told whom to trust; after everything else. */
int environment_set_trust(Environment *environment, const char *bundle) MUST_USE;
