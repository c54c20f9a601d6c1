/* What is different for a run in a pod. See run-phase.h. */
#include "supervisor/run-phase.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#define SINK_PATIENCE_S 60

void run_keep_output(Run *run)
{
    run->report.output_kept = !run->place.folder;
}

/* For tests a shorter time, never a longer one. */
uint32_t run_sink_patience(const Run *run)
{
    const char *said = getenv("PURSER_TEST_SINK_PATIENCE_S");
    uint64_t seconds;
    if (!run->place.folder)
        return 0;
    return said && text_parse_u64(slice_of(said), SINK_PATIENCE_S, &seconds) == 0 ? (uint32_t)seconds
                                                                                  : SINK_PATIENCE_S;
}

const char *run_fate(const Run *run)
{
    return run->place.folder ? "the next run collects this window again" : "the results are kept";
}

bool run_has_runner(const Run *run)
{
    struct pollfd runner = {.fd = run->place.runner, .events = POLLRDHUP};
    return runner.fd >= 0 && poll(&runner, 1, 0) == 0;
}

Run *run_new_cut_short(Supervisor *supervisor, const Retriever *retriever, const RunReport *old)
{
    Run *run = run_new_collect(supervisor, retriever, old);
    run->report.output_kept = false;
    run->folder.fd =
        openat(supervisor->state->runs_fd, old->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    run_set_status(run, RUN_FAILED,
                   "Its agent ended before it did; the next run collects this window again.");
    return run;
}

/* To a runner in a pod that waits for its run to begin. */
void run_tell_not(Run *run)
{
    const IpcPeer runner = {run->place.runner, IPC_GATE, IPC_RUNNER, IPC_SETUP};
    if (runner.fd >= 0 && ipc_send(&runner, IPC_RUN_NOT, slice_of(run->report.sentence), NULL, 0))
        log_warning("%s: its runner has gone.", run->id);
    fd_close(&run->place.runner);
}

/* Its container has ended, or is no longer waited for. */
void run_lose_runner(Run *run)
{
    run_stop_gate(run);
    run_set_status(run, RUN_FAILED, "Its runner ended before it could report; its container's log says why.");
    run->report.ended = clock_wall();
    run_close_at_keeper(run);
    run_enter_ending(run);
}
