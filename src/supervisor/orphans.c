/* Processes that a runner left behind. See orphans.h. */
#include "supervisor/orphans.h"

#include "base/io.h"
#include "base/text.h"
#include "supervisor/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS      500
#define MOST_SPARED 16

static struct {
    pid_t pid[MOST_SPARED];
    size_t n;
} spared;

void orphans_spare(void)
{
    CLEANUP_BUF Buf text = BUF_INIT(4096);
    uint64_t pid;
    if (io_read_file(AT_FDCWD, "/proc/thread-self/children", &text) != 0)
        return; /* a kernel without that file: they are taken for orphans */
    for (Slice one, rest = buf_slice(&text); slice_cut(rest, ' ', &one, &rest) && spared.n < MOST_SPARED;)
        if (text_parse_u64(one, INT32_MAX, &pid) == 0)
            spared.pid[spared.n++] = (pid_t)pid;
}

static bool is_spared(pid_t pid)
{
    for (size_t i = 0; i < spared.n; i++)
        if (spared.pid[i] == pid)
            return true;
    return false;
}

/* It has ended: its number may be another's from now on. */
static void forget_spared(pid_t pid)
{
    for (size_t i = spared.n; i-- > 0;)
        if (spared.pid[i] == pid)
            spared.pid[i] = spared.pid[--spared.n];
}

void orphans_reap(OrphansKnown *known, void *context)
{
    siginfo_t info;
    /* Looking first: the status of a child that somebody waits for must stay for him. */
    while (info.si_pid = 0, waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        if (known(info.si_pid, context))
            return;
        forget_spared(info.si_pid);
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
    if (process->parent != hunt->self || is_spared(process->pid) || hunt->known(process->pid, hunt->context))
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
