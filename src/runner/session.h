/* The runner's side of the run's socket (ipc/run.h): what the gate tells before the script, and what it is
 * told after. */
#pragma once

#include "base/fault.h"
#include "ipc/run.h"
#include "runner/environment.h"
#include "runner/output.h"

typedef struct Session {
    IpcPeer gate;
    RunLimits limits;
    Environment *environment; /* filled in from ENV */
    const char *bundle;       /* path: CA and ROOTS are written there; NULL: nowhere */
    const char *afterwards;   /* what becomes of results that were not loaded: "they are kept" */
    unsigned load_minutes;    /* that loading may take */
    int signal_fd;            /* until RUN_START a signal to end is obeyed */
    void *room;               /* IPC_MAX_RECORD bytes */
} Session;

/* Connects; a gate that is not there yet is waited for, `wait` us at most. -EINTR when told to end. -errno
 * with a sentence. */
int session_connect(Session *session, const char *path, uint64_t wait, Fault *fault) MUST_USE;
/* Says HELLO, and takes all up to RUN_START. -ECANCELED: no run begins, the sentence is the gate's. */
int session_begin(Session *session, Fault *fault) MUST_USE;
void session_close(Session *session);

/* Passes on what lies in the output folder, then the end, and waits (load_minutes at most) until it is
 * loaded; sends again when asked to. 0 when it was loaded; -errno with a sentence, after which nothing is
 * lost but time. */
int session_finish(Session *session, int output_fd, RunEnd *end, OutputSink *sink, Fault *fault) MUST_USE;
