/* What /proc says of the processes that are there now. */
#pragma once

#include <sys/types.h>

typedef struct ProcessState {
    pid_t pid, parent;
    uid_t uid;
    char state; /* 'Z': ended, and not reaped yet */
} ProcessState;

/* Calls for each; one that ends meanwhile may be left out. */
void process_each(void (*each)(const ProcessState *process, void *context), void *context);
