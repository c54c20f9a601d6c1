/* purser-exec as the main process of a retriever's container: what nobody has said by flags comes from the
 * container. Any image: nothing of it is relied on but what the command itself needs.
 *
 *   environment  the container's, below what the gate says; names that begin with PURSER_ are left out
 *   folders      a new one in $TMPDIR or /tmp is HOME, and holds ca.pem, tmp/ and the virtual environment;
 *                $OUTPUTDIR is the container's; the script begins in the container's working folder, where
 *                that is not /
 */
#pragma once

#include "base/fault.h"
#include "runner/environment.h"
#include "runner/options.h"
#include "runner/output.h"

typedef struct Pod {
    char scratch[256], venv[272], python[1024];
    char directory[1024]; /* of the script */
    int termination_fd;   /* the container's termination message; -1: there is none */
} Pod;

#define POD_NONE ((Pod){.termination_fd = -1})

/* Before anything else: opens the termination message and makes the folder. -errno with a sentence. */
int pod_open(Options *options, Pod *ret_pod, Fault *fault) MUST_USE;
void pod_close(Pod *pod);

/* Finds the command and, when there are requirements to install, the interpreter, so that an image that
 * lacks them says so at once. Requirements that are not there, or empty, are forgotten. */
int pod_find_command(Options *options, Pod *pod, Fault *fault) MUST_USE;

/* Builds the environment. 0, or an exit status after saying why. */
int pod_prepare(Options *options, Pod *pod, int signal_fd, OutputSink *sink) MUST_USE;

/* The container's own environment. */
int pod_inherit(Environment *environment) MUST_USE;

/* What `kubectl describe` shows of it: the first sentence. */
void pod_tell_end(Pod *pod, const char *sentence);
