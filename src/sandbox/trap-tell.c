/* For developers: a forbidden call says its name and ends the process with status 159 (128 + SIGSYS). See
 * trap.h. */
#include "sandbox/trap.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void tell(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    char line[160];
    char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
    int n = snprintf(line, sizeof(line), "%s: forbidden system call: %s (%d)\n",
                     program_invocation_short_name, name ? name : "unknown", info->si_syscall);
    ssize_t written = write(2, line, (size_t)n);
    _exit(written < 0 ? 158 : 159);
}

uint32_t trap_action(void)
{
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    return SCMP_ACT_TRAP;
}
