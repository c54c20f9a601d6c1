/* Trying a wall from inside. See probe.h. */
#include "sandbox/probe.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* What the child tells its parent. A shared page works whatever the wall forbids. */
typedef struct Told {
    volatile bool wall_up, tried;
    volatile int error;
} Told;

static NORETURN void child(Told *told, ProbeStep *wall, const void *wall_context, ProbeStep *attempt,
                           const void *context)
{
    int r = wall ? wall(wall_context) : 0;
    told->error = -r;
    if (r == 0) {
        told->wall_up = true;
        told->error = -attempt(context);
        told->tried = true;
    }
    _exit(0);
}

ProbeResult probe_run(ProbeStep *wall, const void *wall_context, ProbeStep *attempt, const void *context)
{
    ProbeResult result = {.end = PROBE_BROKEN};
    Told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED) {
        result.error = errno;
        return result;
    }
    pid_t pid = fork();
    if (pid == 0)
        child(told, wall, wall_context, attempt, context);
    if (pid < 0) {
        result.error = errno;
    } else {
        while (waitpid(pid, &result.wait_status, 0) < 0 && errno == EINTR)
            ;
        result.error = told->error;
        if (told->tried)
            result.end = told->error ? PROBE_REFUSED : PROBE_DONE;
        else if (told->wall_up && WIFSIGNALED(result.wait_status) && WTERMSIG(result.wait_status) == SIGSYS)
            result.end = PROBE_KILLED;
    }
    munmap(told, sizeof(*told));
    return result;
}

static int enter(const void *context)
{
    Fault fault;
    int r = sandbox_enter(context, &fault);
    return r > 0 ? -ENOTSUP : r;
}

ProbeResult probe_role(const SandboxSpec *spec, ProbeStep *attempt, const void *context)
{
    return probe_run(enter, spec, attempt, context);
}
