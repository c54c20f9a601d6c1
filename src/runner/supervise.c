/* From the script's start to the end of its last process. See supervise.h. */
#include "runner/supervise.h"

#include "base/clock.h"
#include "runner/tree.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define LONGEST_POLL 60000

typedef struct Watch {
    Script *script;
    const SuperviseSpec *spec;
    OutputSink *sink;
    int signal_fd;
    bool main_ended, ending, timed_out, gate_gone;
    int status;
    int64_t due; /* mono: SIGTERM at the time limit, then SIGKILL */
} Watch;

int supervise_open(int *ret_signal_fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *ret_signal_fd = fd;
    return tree_adopt();
}

int supervise_told_to_end(int signal_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            return (int)info.ssi_signo;
    return 0;
}

static void ask_to_end(Watch *watch)
{
    if (watch->ending)
        return;
    watch->ending = true;
    watch->due = clock_mono() + (int64_t)watch->spec->grace;
    tree_signal(SIGTERM);
    tree_signal(SIGCONT); /* a stopped process takes it only then */
}

static void take_signals(Watch *watch)
{
    struct signalfd_siginfo info;
    while (read(watch->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            ask_to_end(watch);
    for (int status;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == watch->script->pid) {
            watch->main_ended = true;
            watch->status = status;
        }
        if (pid == 0 || (pid < 0 && errno != EINTR))
            return;
    }
}

static int wait_time(const Watch *watch)
{
    if (watch->due == 0)
        return LONGEST_POLL;
    int64_t left = (watch->due - clock_mono()) / 1000 + 1;
    return left < 0 ? 0 : left > LONGEST_POLL ? LONGEST_POLL : (int)left;
}

/* false: what is left must be killed now. */
static bool turn(Watch *watch)
{
    OutputStream *out = &watch->script->out, *err = &watch->script->err;
    struct pollfd wait[] = {{watch->signal_fd, POLLIN, 0},
                            {watch->spec->gate_fd, POLLRDHUP, 0},
                            {out->fd, POLLIN, 0},
                            {err->fd, POLLIN, 0}};
    if (poll(wait, COUNT_OF(wait), wait_time(watch)) < 0 && errno != EINTR)
        return false;
    if (wait[0].revents)
        take_signals(watch);
    if (wait[2].revents)
        output_read(watch->sink, out);
    if (wait[3].revents)
        output_read(watch->sink, err);
    if (wait[1].revents) {
        watch->gate_gone = true;
        return false;
    }
    if (watch->due == 0 || clock_mono() < watch->due)
        return true;
    if (watch->ending)
        return false;
    watch->timed_out = true;
    ask_to_end(watch);
    return true;
}

/* What is still in a pipe: nobody can be writing any more. */
static void drain(OutputSink *sink, OutputStream *stream)
{
    struct pollfd wait = {stream->fd, POLLIN, 0};
    while (stream->fd >= 0 && poll(&wait, 1, 0) > 0)
        output_read(sink, stream);
    if (stream->fd >= 0) {
        output_flush(sink, stream);
        fd_close(&stream->fd);
    }
}

void supervise_script(Script *script, const SuperviseSpec *spec, int signal_fd, OutputSink *sink,
                      RunEnd *ret_end, bool *ret_gate_gone)
{
    Watch watch = {.script = script, .spec = spec, .sink = sink, .signal_fd = signal_fd};
    watch.due = spec->time_limit ? clock_mono() + (int64_t)spec->time_limit : 0;
    while (!watch.main_ended && turn(&watch))
        ;
    tree_end(script->pid, spec->own_uid, &watch.main_ended, &watch.status);
    drain(sink, &script->out);
    drain(sink, &script->err);
    RunEnd end = {.exit_status = -1, .timed_out = watch.timed_out};
    if (watch.main_ended && WIFEXITED(watch.status))
        end.exit_status = WEXITSTATUS(watch.status);
    else if (watch.main_ended && WIFSIGNALED(watch.status))
        end.signal = WTERMSIG(watch.status);
    *ret_end = end;
    *ret_gate_gone = watch.gate_gone;
}
