/* Processes that a runner left behind. See orphans.h. */
#include "supervisor/orphans.h"

#include "supervisor/process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 500

void orphans_reap(OrphansKnown *known, void *context)
{
    siginfo_t info;
    /* Looking first: the status of a child that somebody waits for must stay for him. */
    while (info.si_pid = 0, waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        if (known(info.si_pid, context))
            return;
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

typedef struct Hunt {
    OrphansKnown *known;
    void *context;
    pid_t self;
    bool found;
} Hunt;

static void kill_orphan(const ProcessState *process, void *context)
{
    Hunt *hunt = context;
    if (process->parent != hunt->self || hunt->known(process->pid, hunt->context))
        return;
    hunt->found = true;
    if (process->state == 'Z')
        waitpid(process->pid, NULL, WNOHANG);
    else
        kill(process->pid, SIGKILL);
}

void orphans_end(OrphansKnown *known, void *context)
{
    Hunt hunt = {known, context, getpid(), true};
    for (unsigned round = 0; hunt.found && round < ROUNDS; round++) {
        if (round)
            usleep(2000);
        hunt.found = false;
        process_each(PROCESS_ANY_UID, kill_orphan, &hunt);
    }
}
