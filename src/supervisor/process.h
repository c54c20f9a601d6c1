/* Starting processes, and what /proc says of those that are there now. */
#pragma once

#include <sys/types.h>

typedef struct ProcessState {
    pid_t pid, parent;
    uid_t uid;
    char state; /* 'Z': ended, and not reaped yet */
} ProcessState;

#define PROCESS_ANY_UID ((uid_t)-1)

/* Calls for each of that user, or of any; one that ends meanwhile may be left out. */
void process_each(uid_t uid, void (*each)(const ProcessState *process, void *context), void *context);

/* fork() for a process with an event loop: the child has no handler of its parent's, which would write what
 * the child is sent into the parent's loop, and no signal blocked. */
pid_t process_fork(void);
