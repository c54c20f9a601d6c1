/* A forbidden call ends the process, all its threads. See trap.h. */
#include "sandbox/trap.h"

#include <seccomp.h>

uint32_t trap_action(void)
{
    return SCMP_ACT_KILL_PROCESS;
}
