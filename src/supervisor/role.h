/* Starting a role: an executable of its own from libexec, with nothing but its control socket, an empty
 * environment and (when purser runs as root) a user id of its own. Talking to it at set-up is synchronous and
 * bounded in time.
 */
#pragma once

#include "base/fault.h"
#include "ipc/channel.h"
#include "supervisor/users.h"

#include <sys/types.h>

typedef struct Role {
    const char *name; /* "purser-gate" */
    pid_t pid;        /* 0: not running */
    IpcPeer peer;     /* fd -1: closed */
} Role;

#define ROLE_NONE ((Role){.peer = {.fd = -1}})

/* The control socket is non-blocking. -errno with a sentence. */
int role_start(const char *libexec, IpcRole which, UserId user, Role *ret_role, Fault *fault) MUST_USE;
/* The same of a role that has several programs. `name` lives on. */
int role_start_program(const char *libexec, IpcRole which, const char *name, UserId user, Role *ret_role,
                       Fault *fault) MUST_USE;

/* Sends, waiting up to 10 s for room. */
int role_send(Role *role, uint16_t type, Slice payload, const int *fd, size_t n_fd, Fault *fault) MUST_USE;
int role_send_wire(Role *role, uint16_t type, const WireWriter *wire, const int *fd, size_t n_fd,
                   Fault *fault) MUST_USE;

/* From here on whatever waits here ends with -ECANCELED once this can be read: this process was told to end.
 */
void role_mind(int told_fd);
/* Waits; -ECANCELED. */
int role_pause(int ms) MUST_USE;

/* Waits for the next record; -ETIMEDOUT; -ECONNRESET when the role ended; both with a sentence. An IPC_FAULT
 * from the role is returned as -EIO with the role's own sentence. `room` has IPC_MAX_RECORD bytes. */
int role_receive(Role *role, int timeout_ms, void *room, IpcRecord *ret_record, Fault *fault) MUST_USE;

/* Closes the control socket, which every role takes as its end; after `grace_ms` it is killed. Reaps it.
 * Returns the wait status, or -1 when it was not running. */
int role_stop(Role *role, int grace_ms);

/* "ended with status 3", "was killed by signal 31 (a system call that its sandbox forbids)". */
const char *role_end_text(int wait_status, char out[static 96]);
