/* purser-exec: the runner. It starts a retriever's script with the leases of its run, and passes on what it
 * leaves. Static and small, so that it runs in any image; it holds no secret but the run's leases, and only
 * until they are in the script's environment.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "runner/lock-in.h"
#include "runner/options.h"
#include "runner/pod.h"
#include "runner/prepare.h"
#include "runner/session.h"
#include "runner/status.h"
#include "runner/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

typedef struct Run {
    Options *options;
    OutputSink *sink;
    int signal_fd, output_fd;
    Pod pod;
    char scratch[PATH_MAX], output_dir[PATH_MAX + 8], bundle[PATH_MAX + 8];
    Environment environment;
    Session session;
} Run;

static int make_folders(Run *run, Fault *fault)
{
    const Options *options = run->options;
    char temporary[PATH_MAX + 8];
    if (options->scratch)
        snprintf(run->scratch, sizeof(run->scratch), "%s", options->scratch);
    else if (!getcwd(run->scratch, sizeof(run->scratch)))
        return fault_set(fault, -errno, "Cannot tell the current folder: %s.", strerror(errno));
    if (options->output_dir)
        snprintf(run->output_dir, sizeof(run->output_dir), "%s", options->output_dir);
    else
        snprintf(run->output_dir, sizeof(run->output_dir), "%s/out", run->scratch);
    snprintf(run->bundle, sizeof(run->bundle), "%s/ca.pem", run->scratch);
    snprintf(temporary, sizeof(temporary), "%s/tmp", run->scratch);
    if ((mkdir(temporary, 0700) < 0 && errno != EEXIST) ||
        (!options->output_dir && mkdir(run->output_dir, 0700) < 0 && errno != EEXIST))
        return fault_set(fault, -errno, "Cannot make folders in %s: %s.", run->scratch, strerror(errno));
    run->output_fd = options->output_fd >= 0
                         ? options->output_fd
                         : open(run->output_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (run->output_fd < 0)
        return fault_set(fault, -errno, "Cannot open %s: %s.", run->output_dir, strerror(errno));
    return 0;
}

static int start_script(Run *run, Script *script, Fault *fault)
{
    const Options *options = run->options;
    const RunLimits *limits = &run->session.limits;
    const char *read[OPTIONS_MAX_LIST + 2], *const write[] = {run->scratch, run->output_dir};
    size_t n_read = options->n_read;
    memcpy(read, options->read, sizeof(options->read));
    if (options->env_dir)
        read[n_read++] = options->env_dir;
    if (options->purser)
        read[n_read++] = options->purser;
    const ScriptSpec spec = {.argv = (const char *const *)options->command,
                             .envp = run->environment.entry,
                             .directory = options->pod ? run->pod.directory : run->scratch,
                             .memory = options->memory,
                             .processes = options->processes,
                             .file_bytes = limits->output_bytes,
                             .port = options->no_connect_limit ? 0 : limits->port,
                             .umask = 077,
                             .limit_files = !options->own_uid && !options->no_file_limit,
                             .walls_optional = options->walls_optional,
                             .read = read,
                             .n_read = n_read,
                             .write = write,
                             .n_write = COUNT_OF(write)};
    return script_start(&spec, script, fault);
}

/* A last sentence of its own. */
static FORMAT(2, 3) void say(Run *run, const char *fmt, ...)
{
    char text[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    output_say(run->sink, "%s", text);
    pod_tell_end(&run->pod, text);
}

/* What it sends when the script never ran, so that the run has an end; the status stays what it was. */
static int broken(Run *run, const Fault *fault)
{
    RunEnd end = {.exit_status = -1};
    Fault unloaded;
    say(run, "%s", fault->text);
    if (session_finish(&run->session, -1, &end, run->sink, &unloaded))
        output_say(run->sink, "%s", unloaded.text);
    return STATUS_BROKEN;
}

static int finish(Run *run, RunEnd *end)
{
    Fault fault;
    int status = end->collected_only ? 0 : status_of_end(end);
    if (session_finish(&run->session, run->output_fd, end, run->sink, &fault)) {
        say(run, "%s", fault.text);
        return status ? status : STATUS_NOT_LOADED;
    }
    return status;
}

static int run_script(Run *run)
{
    static Script script;
    Fault fault;
    RunEnd end;
    bool gate_gone;
    int r = environment_set_folders(&run->environment, run->scratch, run->output_dir, run->options->env_dir);
    if (!r && run->options->pod)
        r = environment_set_text(&run->environment, "PWD", run->pod.directory);
    if (!r && run->options->purser)
        r = environment_add_program(&run->environment, run->options->purser);
    if (!r)
        r = environment_set_trust(&run->environment, run->bundle);
    if (r)
        fault_set(&fault, r, "The script's environment cannot be made: %s.", strerror(-r));
    else
        r = start_script(run, &script, &fault);
    environment_done(&run->environment); /* the leases are the script's now */
    if (r)
        return broken(run, &fault);
    if ((r = lock_in(run->output_fd, run->options->walls_optional))) {
        fault_set(&fault, r, "The runner's own walls cannot be set up: %s.", strerror(-r));
        kill(script.pid, SIGKILL);
    }
    const RunLimits *limits = &run->session.limits;
    const SuperviseSpec spec = {.time_limit = limits->time_limit,
                                .grace = limits->grace,
                                .gate_fd = run->session.gate.fd,
                                .own_uid = run->options->own_uid};
    supervise_script(&script, &spec, run->signal_fd, run->sink, &end, &gate_gone);
    if (r)
        return broken(run, &fault);
    if (gate_gone) {
        say(run, "The run's gate has ended, so the script was ended too; as to what it left, %s.",
            run->session.afterwards);
        return STATUS_NOT_LOADED;
    }
    return finish(run, &end);
}

/* The container's image must have what the command needs; then what pip installs. 0, or an exit status. */
static int make_ready(Run *run)
{
    Fault fault;
    int status;
    if (pod_find_command(run->options, &run->pod, &fault)) {
        say(run, "%s", fault.text);
        return STATUS_BROKEN;
    }
    if (!run->options->requirements ||
        !(status = pod_prepare(run->options, &run->pod, run->signal_fd, run->sink)))
        return 0;
    say(run, "The environment could not be built from %s; what pip said is above.",
        run->options->requirements);
    return status > STATUS_SIGNAL ? status : STATUS_BROKEN;
}

static int connect_gate(Run *run)
{
    Fault fault;
    int r = session_connect(&run->session, run->options->socket, run->options->wait * CLOCK_SECOND, &fault);
    if (!r)
        return 0;
    say(run, "%s", fault.text);
    return r == -EINTR ? STATUS_SIGNAL + SIGTERM : STATUS_NO_GATE;
}

static int begin(Run *run)
{
    Fault fault;
    int r = environment_set_usual(&run->environment, run->options->name);
    if (!r && run->options->pod)
        r = pod_inherit(&run->environment);
    if (r)
        fault_set(&fault, r, "The script's environment cannot be made: %s.", strerror(-r));
    else
        r = session_begin(&run->session, &fault);
    if (run->options->pod &&
        (r == -ECONNRESET || r == -EPIPE)) { /* an agent that was started anew meanwhile */
        session_close(&run->session);
        int status = connect_gate(run);
        if (status)
            return status;
        r = session_begin(&run->session, &fault);
    }
    if (!r) {
        run->options->walls_optional |= run->session.limits.walls_optional;
        return 0;
    }
    say(run, "%s", fault.text);
    return r == -EINTR ? STATUS_SIGNAL + SIGTERM : r == -ECANCELED ? STATUS_BROKEN : STATUS_NO_GATE;
}

static int collect(Run *run)
{
    RunEnd end = {.exit_status = -1, .collected_only = true};
    int r = lock_in(run->output_fd, run->options->walls_optional);
    if (r)
        output_say(run->sink, "The runner's own walls cannot be set up: %s.", strerror(-r));
    return r ? STATUS_BROKEN : finish(run, &end);
}

static int run_session(Options *options, int signal_fd, OutputSink *sink)
{
    static Run run;
    Fault fault;
    run = (Run){.options = options,
                .sink = sink,
                .signal_fd = signal_fd,
                .output_fd = options->output_fd,
                .pod = POD_NONE};
    run.session.environment = &run.environment;
    run.session.signal_fd = signal_fd;
    run.session.afterwards = options->pod ? "the next run collects this window again" : "they are kept";
    run.session.load_minutes =
        options->pod ? 60 : 10; /* where they cannot be kept, the pod's deadline decides */
    bool is_collect = options->mode == RUNNER_COLLECT;
    int r = options->pod ? pod_open(options, &run.pod, &fault) : 0;
    if (!r && !is_collect) {
        r = make_folders(&run, &fault);
        run.session.bundle = run.bundle;
    }
    if (r) {
        say(&run, "%s", fault.text);
        return STATUS_BROKEN;
    }
    int status = connect_gate(&run);
    if (!status && options->pod)
        status = make_ready(&run);
    if (!status)
        status = begin(&run);
    if (!status)
        status = is_collect ? collect(&run) : run_script(&run);
    environment_done(&run.environment);
    session_close(&run.session);
    pod_close(&run.pod);
    return status;
}

int main(int argc, char **argv)
{
    Options options;
    int signal_fd, r = options_parse(argc, argv, &options);
    if (r)
        return r > 0 ? 0 : STATUS_BROKEN;
    log_open("purser-exec", LOG_INFO);
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0 ||
        (r = supervise_open(&signal_fd))) {
        log_error("%s: cannot set itself up: %s.", options.name, strerror(r ? -r : errno));
        return STATUS_BROKEN;
    }
    OutputSink sink = {.name = options.name, .print_fd = STDOUT_FILENO, .log_fd = options.log_fd};
    return options.mode == RUNNER_PREPARE ? prepare(&options, signal_fd, &sink)
                                          : run_session(&options, signal_fd, &sink);
}
