/* One run, from its preparation to its rows in the sink. See run.h. */
#include "supervisor/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/gate-link.h"
#include "supervisor/run-phase.h"
#include "supervisor/runner-link.h"
#include "supervisor/window.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define PREPARING_TIME_S 1500 /* the runner itself gives up after 20 minutes */
#define RUNNING_SLACK_S  15   /* beyond limits.time and grace, which a runner keeps to unless it is stopped */
#define TOLD_TO_END      "purser was told to end before this run could begin."
#define ENDING_TIME_S    20 /* for a runner whose results are loaded, and for the keeper's report */

/* The first thing that goes wrong is what the report says. */
void run_set_status(Run *run, RunStatus status, const char *sentence)
{
    if (run->report.status != RUN_IS_RUNNING)
        return;
    run->report.status = status;
    snprintf(run->report.sentence, sizeof(run->report.sentence), "%s", sentence);
}

static void write_report(Run *run)
{
    int r = run->folder.fd < 0 ? 0 : run_report_write(&run->report, run->folder.fd);
    if (r)
        log_warning("%s: cannot write run.json: %s.", run->id, strerror(-r));
}

void run_enter(Run *run, RunPhase phase, uint64_t seconds)
{
    struct timeval limit = {.tv_sec = (time_t)seconds};
    run->phase = phase;
    evtimer_add(run->timer, &limit);
}

void run_enter_ending(Run *run)
{
    run_enter(run, RUN_ENDING, ENDING_TIME_S);
}

static void kill_runner(Run *run)
{
    if (run->runner > 0)
        kill(run->runner, SIGKILL);
    fd_close(&run->place.runner);
}

/* The run is over at the keeper: its leases end now, and what was revealed to it; its report comes. */
void run_close_at_keeper(Run *run)
{
    Fault fault = {0};
    run_folder_end_reveal(&run->folder);
    if (run->keeper_open && keeper_run_close(&run->supervisor->keeper, run->id, &fault)) {
        log_warning("%s: %s", run->id, fault.text);
        run->keeper_open = false;
    }
}

void run_stop_gate(Run *run)
{
    fd_close(&run->place.runner); /* then the gate's end is the runner's too */
    if (run->gate_event)
        event_free(run->gate_event);
    run->gate_event = NULL;
    role_stop(&run->gate, 1000);
}

/* A phase has lasted too long: what hangs must not hold up this retriever's next run. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    Run *run = context;
    (void)fd, (void)what;
    if (run->phase == RUN_PREPARING && run->prepare > 0) {
        kill(run->prepare, SIGKILL);
    } else if (run->phase == RUN_RUNNING) {
        run_set_status(run, RUN_TIMED_OUT,
                       "The script's runner did not end at the time limit (limits.time) and was killed.");
        kill_runner(run);
        if (run->place.folder) /* its gate's end is all that it hears */
            run_lose_runner(run);
    } else if (run->phase == RUN_LOADING) {
        char sentence[128];
        snprintf(sentence, sizeof(sentence), "Loading took too long and was ended; %s.", run_fate(run));
        run_load_failed(run, sentence);
    } else if (run->phase == RUN_ENDING) {
        kill_runner(run);
        if (run->clerk.pid > 0)
            kill(run->clerk.pid, SIGKILL);
        run->keeper_open = false;
        run_advance(run);
    }
}

/* Nothing is loaded; its runner, which waits for that, is told so. */
static void end_recorded(Run *run)
{
    unsigned char room[256];
    WireWriter wire = WIRE_WRITER(room);
    const IpcPeer gate = {.fd = run->results_fd, .self = IPC_CLERK, .other = IPC_GATE, .stage = IPC_OPEN};
    const RunLoaded loaded = {.result = RUN_LOAD_OK, .sentence = {"", 0}};
    run_loaded_put(&loaded, &wire);
    if (ipc_send_wire(&gate, IPC_LOADED, &wire, NULL, 0))
        fd_close(&run->results_fd);
    run_close_at_keeper(run);
    run_enter_ending(run);
}

static void script_ended(Run *run, const RunEnd *end)
{
    char sentence[160] = "";
    RunStatus status = RUN_OK;
    run->report.ended = run->collect && run->report.ended ? run->report.ended : clock_wall();
    if (!end->collected_only) {
        run->report.exit_status = end->exit_status;
        run->report.signal = end->signal;
        run->report.advance = end->exit_status == 0 && !end->timed_out;
        if (end->timed_out) {
            char text[24];
            status = RUN_TIMED_OUT;
            snprintf(sentence, sizeof(sentence),
                     "The script was ended at its time limit of %s (limits.time).",
                     text_human_duration(text, run->retriever->time_limit));
        } else if (end->signal) {
            status = RUN_FAILED;
            snprintf(sentence, sizeof(sentence), "The script was killed by signal %d.", end->signal);
        } else if (end->exit_status != 0) {
            status = RUN_FAILED;
            snprintf(sentence, sizeof(sentence), "The script ended with status %d.", end->exit_status);
        }
        run_set_status(run, run->supervisor->recorded && status == RUN_OK ? RUN_RECORDED : status, sentence);
    }
    if (run->supervisor->recorded) {
        end_recorded(run);
        return;
    }
    run_keep_output(run); /* until the clerk says otherwise */
    write_report(run);
    run_load(run);
}

static void on_gate(evutil_socket_t fd, short what, void *context)
{
    static unsigned char room[IPC_MAX_RECORD];
    Run *run = context;
    IpcRecord record;
    (void)fd, (void)what;
    int r = ipc_recv(&run->gate.peer, room, &record);
    if (r == -EAGAIN)
        return;
    if (!r && record.type == IPC_GATE_FINISHED) {
        WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
        RunEnd end;
        if (run->phase == RUN_RUNNING && !run_end_get(&wire, &end) &&
            (end.exit_status >= 0 || end.signal || end.timed_out || end.outputs || end.collected_only)) {
            script_ended(run, &end);
            run_advance(run);
        } else if (run->phase == RUN_RUNNING && run->place.folder)
            run_lose_runner(run);
        /* else: the runner went away without a report; its exit status says why */
        return;
    }
    supervisor_hear_keeper(run->supervisor); /* it may have said why */
    if (run->phase == RUN_DONE)
        return;
    char sentence[768];
    if (!r && record.type == IPC_FAULT) {
        snprintf(sentence, sizeof(sentence), "%.*s", (int)record.payload.len, record.payload.ptr);
    } else {
        char text[96];
        bool reaped = run->gate.pid == 0;
        int status = role_stop(&run->gate, 1000);
        snprintf(sentence, sizeof(sentence), "The run's gate %s before the run's end.",
                 role_end_text(reaped ? run->gate_end : status, text));
    }
    if (run->phase < RUN_ENDING) {
        log_error("%s: %s", run->retriever->name, sentence);
        run_set_status(run, RUN_FAILED, sentence);
    }
    event_del(run->gate_event);
    kill_runner(run); /* can report to nobody, and would only wait */
    if (run->phase == RUN_RUNNING) {
        run_keep_output(run); /* what the script had left by now is collected by a later run */
        run_close_at_keeper(run);
        run_enter_ending(run);
    }
    run_advance(run);
}

static void start_script(Run *run)
{
    Fault fault = {0};
    int r = run->told_to_end ? fault_set(&fault, -ECANCELED, "%s", TOLD_TO_END) : gate_begin(run, &fault);
    user_kill_wait(&run->killer);
    if (!r && !run->place.folder)
        r = runner_start(run, &run->runner, &fault);
    if (!r && (r = gate_await(run, &fault)))
        kill_runner(run);
    if (r) {
        run_set_status(run, RUN_NOT_STARTED, fault.text);
        run_tell_not(run);
        run->report.output_kept = run->collect;
        run_close_at_keeper(run);
        run_enter_ending(run);
        return;
    }
    run->gate_event = event_new(run->supervisor->base, run->gate.peer.fd, EV_READ | EV_PERSIST, on_gate, run);
    event_add(run->gate_event, NULL);
    uint64_t limit = run->collect ? 0 : run->retriever->time_limit + run->retriever->grace;
    run_enter(run, RUN_RUNNING, limit / CLOCK_SECOND + RUNNING_SLACK_S);
}

/* Kept by `purser prune` while it is in use. */
static void touch_environment(const Run *run)
{
    char marker[160];
    snprintf(marker, sizeof(marker), "%s.ready", run->environment.name);
    if (utimensat(run->supervisor->state->envs_fd, marker, NULL, AT_SYMLINK_NOFOLLOW) < 0)
        log_warning("%s: envs/%s: %s.", run->id, marker, strerror(errno));
}

static void prepare(Run *run)
{
    const Config *config = run->supervisor->config;
    const Retriever *retriever = run->retriever;
    char python[1024];
    Fault fault = {0};
    int r = 0;
    if (!retriever->n_command) {
        CLEANUP_MEM char *folder = mem_strdup(retriever->script_path);
        *strrchr(folder, '/') = '\0';
        r = run_folder_copy_script(&run->folder, folder, &fault);
    }
    if (!r && *retriever->requirements && !(r = environment_python(python, sizeof(python), &fault)))
        r = environment_find(run->supervisor->state, retriever, config->site.package_index, python,
                             &run->environment, &fault);
    if (!r && *retriever->requirements && !run->environment.ready) {
        if (!(r = runner_prepare(run, &run->prepare, &fault))) {
            run_enter(run, RUN_PREPARING, PREPARING_TIME_S);
            return;
        }
    }
    if (!r && *retriever->requirements)
        touch_environment(run);
    if (r) {
        run_set_status(run, RUN_NOT_PREPARED, fault.text);
        run_enter_ending(run);
        return;
    }
    start_script(run);
}

static void prepared(Run *run, int wait_status)
{
    Fault fault = {0};
    UserId user;
    if (!user_of_retriever(run->supervisor->state->fd, run->retriever->name, true, &user, &fault))
        user_kill_all(&user);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        if (environment_finish(run->supervisor->state, &run->environment, &fault) == 0) {
            start_script(run);
            return;
        }
        run_set_status(run, RUN_NOT_PREPARED, fault.text);
    } else if (run->told_to_end) {
        run_set_status(run, RUN_NOT_PREPARED, TOLD_TO_END);
    } else {
        char sentence[512];
        snprintf(sentence, sizeof(sentence),
                 "The environment could not be built from requirements.txt; what pip said is in %.300s/log.",
                 run->folder.path);
        run_set_status(run, RUN_NOT_PREPARED, sentence);
    }
    run_enter_ending(run);
}

/* The runner's own exit statuses, for when it ended without a report. */
static void runner_ended(Run *run, int wait_status)
{
    char sentence[256], text[96];
    user_kill_all(&run->user);
    supervisor_end_orphans(run->supervisor);
    supervisor_hear_keeper(run->supervisor); /* it may have said why */
    if (run->phase != RUN_RUNNING)
        return;
    snprintf(sentence, sizeof(sentence), "The runner %s before it could report.",
             role_end_text(wait_status, text));
    run_set_status(run, WIFSIGNALED(wait_status) ? RUN_FAILED : RUN_NOT_STARTED, sentence);
    run->report.ended = clock_wall();
    /* What lies in out/ is collected by a runner that the script cannot have touched. */
    run_keep_output(run);
    run_close_at_keeper(run);
    run_enter_ending(run);
}

void run_settle(Run *run)
{
    if (!run->report.ended)
        run->report.ended = clock_wall();
    run_set_status(run, RUN_OK, "");
}

static void finish(Run *run)
{
    run->phase = RUN_DONE;
    evtimer_del(run->timer);
    run_stop_gate(run);
    run_settle(run);
    write_report(run);
    if (run->folder.fd >= 0)
        run_folder_clean(&run->folder, run->report.output_kept);
    supervisor_run_done(run->supervisor, run);
}

/* Whatever has just happened: is the run over? */
void run_advance(Run *run)
{
    if (run->phase != RUN_ENDING)
        return;
    if (run_tell_sink(run) || run->runner > 0 || run->clerk.pid > 0 || run->keeper_open)
        return;
    finish(run);
}

static void make_id(Run *run)
{
    time_t now = (time_t)(clock_wall() / CLOCK_SECOND);
    struct tm utc;
    char stamp[20];
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    snprintf(run->id, sizeof(run->id), "%.16s-%.36s-%08x", stamp, run->retriever->name, randombytes_random());
}

static Run *run_alloc(Supervisor *supervisor, const Retriever *retriever)
{
    Run *run = MEM_NEW(Run);
    run->supervisor = supervisor;
    run->retriever = retriever;
    run->folder = RUN_FOLDER_NONE;
    run->gate = run->clerk = ROLE_NONE;
    run->ns_fd = run->results_fd = run->place.runner = -1;
    run->timer = evtimer_new(supervisor->base, on_timer, run);
    run->report.exit_status = -1;
    return run;
}

static void open_in_pod(Run *run)
{
    Fault fault = {0};
    run->user = (UserId){.uid = run->place.uid};
    if (run_folder_open_bare(run->supervisor->state, run->id, &run->folder, &fault)) {
        run_set_status(run, RUN_NOT_STARTED, fault.text);
        run_tell_not(run);
        run_enter_ending(run);
        return;
    }
    write_report(run);
    start_script(run);
}

static void open_folder(Run *run)
{
    Fault fault = {0};
    State *state = run->supervisor->state;
    if (run->place.folder) {
        open_in_pod(run);
        return;
    }
    int r = user_of_retriever(state->fd, run->retriever->name, false, &run->user, &fault);
    if (!r)
        r = run_folder_open(state, run->id, &run->user, run->collect, &run->folder, &fault);
    if (r) {
        run_set_status(run, RUN_NOT_STARTED, fault.text);
        run_enter_ending(run);
        return;
    }
    /* What a purser that was killed has left of this retriever's processes must write no more. */
    run->killer = user_kill_begin(&run->user);
    write_report(run);
    if (run->collect)
        start_script(run);
    else
        prepare(run);
    user_kill_wait(&run->killer);
}

/* A run that is over before it began still ends on the loop, after its caller has returned. */
static void start_on_loop(evutil_socket_t fd, short what, void *context)
{
    Run *run = context;
    (void)fd, (void)what;
    open_folder(run);
    run_advance(run);
}

void run_start(Run *run)
{
    struct timeval now = {0};
    run->phase = RUN_PREPARING;
    event_base_once(run->supervisor->base, -1, EV_TIMEOUT, start_on_loop, run, &now);
}

static void refuse_on_loop(evutil_socket_t fd, short what, void *context)
{
    Run *run = context;
    (void)fd, (void)what;
    run_set_status(run, RUN_NO_TOKEN, "A token that it needs is not there; its script could only fail.");
    run_tell_not(run);
    run_enter_ending(run);
    run_advance(run);
}

void run_refuse(Run *run)
{
    struct timeval now = {0};
    run->phase = RUN_PREPARING;
    event_base_once(run->supervisor->base, -1, EV_TIMEOUT, refuse_on_loop, run, &now);
}

Run *run_new(Supervisor *supervisor, const Retriever *retriever, int64_t stream)
{
    Run *run = run_alloc(supervisor, retriever);
    make_id(run);
    snprintf(run->report.id, sizeof(run->report.id), "%s", run->id);
    snprintf(run->report.retriever, sizeof(run->report.retriever), "%s", retriever->name);
    run->report.started = run->report.until = clock_wall();
    run->report.since = window_since(retriever, stream, run->report.until);
    return run;
}

/* What it had called is in its old report alone, unless purser was killed before that was written. */
static void take_calls(Run *run, const RunReport *old)
{
    RunReport *report = &run->report;
    for (size_t i = 0; i < old->n_source; i++) {
        size_t n = report->n_source;
        MEM_PUSH(report->source_name, n, mem_strdup(old->source_name[i]));
        MEM_PUSH(report->source, report->n_source, old->source[i]);
    }
    for (size_t i = 0; i < old->n_refusal; i++)
        MEM_PUSH(report->refusal, report->n_refusal, old->refusal[i]);
    run->keeper_told = old->n_source > 0;
}

Run *run_new_collect(Supervisor *supervisor, const Retriever *retriever, const RunReport *old)
{
    Run *run = run_alloc(supervisor, retriever);
    run->collect = true;
    snprintf(run->id, sizeof(run->id), "%s", old->id);
    RunReport *report = &run->report;
    snprintf(report->id, sizeof(report->id), "%s", old->id);
    snprintf(report->retriever, sizeof(report->retriever), "%s", old->retriever);
    report->started = old->started, report->ended = old->ended ? old->ended : clock_wall();
    report->since = old->since, report->until = old->until;
    report->exit_status = old->exit_status, report->signal = old->signal, report->advance = old->advance;
    report->output_kept = true;
    take_calls(run, old);
    return run;
}

bool run_owns_pid(Run *run, pid_t pid)
{
    return pid > 0 &&
           (pid == run->prepare || pid == run->runner || pid == run->gate.pid || pid == run->clerk.pid);
}

void run_child_ended(Run *run, pid_t pid, int wait_status)
{
    if (pid == run->prepare) {
        run->prepare = 0;
        prepared(run, wait_status);
    } else if (pid == run->runner) {
        run->runner = 0;
        runner_ended(run, wait_status);
    } else if (pid == run->clerk.pid) {
        run->clerk.pid = 0;
        run_load_records(run); /* its last ones, then its end */
    } else if (pid == run->gate.pid) {
        run->gate.pid = 0;
        run->gate_end = wait_status;
    }
    run_advance(run);
}

void run_keeper_record(Run *run, const IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    RunReport *report = &run->report;
    if (record->type == IPC_KEEPER_RUN_SOURCE) {
        RunSource source;
        if (run_source_get(&wire, &source) || source.source >= run->supervisor->config->n_source)
            return;
        size_t n = report->n_source;
        MEM_PUSH(report->source_name, n, mem_strdup(run->supervisor->config->source[source.source].name));
        MEM_PUSH(report->source, report->n_source, source);
    } else if (record->type == IPC_KEEPER_RUN_REFUSAL) {
        RunRefusal refusal;
        if (!run_refusal_get(&wire, &refusal) && report->n_refusal < IPC_MAX_REFUSALS)
            MEM_PUSH(report->refusal, report->n_refusal, refusal);
    } else if (record->type == IPC_KEEPER_RUN_REFUSED) {
        RunRefused refused;
        if (!run_refused_get(&wire, &refused))
            run_set_status(run, RUN_NOT_STARTED, refused.sentence);
    } else if (record->type == IPC_KEEPER_RUN_LIMIT) {
        RunLimit limit;
        if (!run_limit_get(&wire, &limit) && report->n_limit < RUN_MAX_LIMITS)
            MEM_PUSH(report->limit, report->n_limit, limit);
    } else if (record->type == IPC_KEEPER_RUN_SEEN) {
        RunSeen seen;
        if (run->supervisor->recorded && !run_seen_get(&wire, &seen))
            recorded_take(run->supervisor->recorded, &seen);
    } else if (record->type == IPC_KEEPER_RUN_CLOSED) {
        RunClosed closed;
        if (!run_closed_get(&wire, &closed) && closed.number)
            supervisor_take_seal(run->supervisor, &closed, run->retriever->name);
        run->keeper_open = false;
        run->keeper_told = run->keeper_told || !run->collect;
        run_advance(run);
    }
}

void run_keeper_gone(Run *run, const char *why)
{
    run->keeper_open = false;
    if (run->phase == RUN_RUNNING) {
        char sentence[160];
        snprintf(sentence, sizeof(sentence), "%s, so no call could be made any more.", why);
        run_set_status(run, RUN_FAILED, sentence);
        if (run->runner > 0)
            kill(run->runner, SIGTERM);
    }
    run_advance(run);
}

void run_stop_loading(Run *run)
{
    char sentence[160];
    snprintf(sentence, sizeof(sentence), "purser was told to end while it was %s; %s.",
             run->phase == RUN_LOADING ? "loading" : "running", run_fate(run));
    if (run->phase == RUN_LOADING) {
        run_load_failed(run, sentence);
    } else if (run->phase == RUN_RUNNING && run->place.folder) {
        run_set_status(run, RUN_NOT_LOADED, sentence);
        run_lose_runner(run);
    }
    run_advance(run);
}

void run_terminate(Run *run)
{
    if (run->phase == RUN_WAITING) {
        run_set_status(run, RUN_NOT_STARTED, TOLD_TO_END);
        run_tell_not(run);
        finish(run);
        return;
    }
    run->told_to_end = true;
    if (run->prepare > 0)
        kill(run->prepare, SIGTERM);
    if (run->runner > 0)
        kill(run->runner, SIGTERM);
}

Run *run_free(Run *run)
{
    if (!run)
        return NULL;
    run_stop_gate(run);
    run_load_stop(run);
    seals_done(&run->sealing);
    event_free(run->timer);
    run_folder_close(&run->folder);
    fd_close(&run->place.runner);
    fd_close(&run->ns_fd);
    fd_close(&run->results_fd);
    run_report_done(&run->report);
    mem_free(run);
    return NULL;
}
