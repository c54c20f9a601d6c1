/* Starting the script: its own session, its limits, its walls, its two pipes, and nothing else that is open.
 */
#pragma once

#include "base/fault.h"
#include "runner/output.h"

#include <sys/types.h>

typedef struct ScriptSpec {
    const char *const *argv; /* argv[0] is looked up in the PATH of envp */
    char *const *envp;
    const char *directory;
    uint64_t memory, processes, file_bytes; /* 0: no limit */
    uint16_t port;                          /* the only TCP port to connect to; 0: no limit */
    uint32_t umask;                         /* 077: for nobody else */
    bool limit_files;                       /* to the system, the files that argv names, read, and write */
    bool walls_optional;
    const char *const *read; /* and executed */
    size_t n_read;
    const char *const *write;
    size_t n_write;
} ScriptSpec;

typedef struct Script {
    pid_t pid;
    OutputStream out, err;
} Script;

/* Resources first: -errno with a sentence when the program cannot be started or a wall cannot be set up. */
int script_start(const ScriptSpec *spec, Script *ret_script, Fault *fault) MUST_USE;
