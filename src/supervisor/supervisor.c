/* The supervisor's loop: one keeper, runs in parallel, their children. See supervisor.h. */
#include "supervisor/supervisor.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/audit-files.h"
#include "supervisor/exit-status.h"
#include "supervisor/orphans.h"
#include "supervisor/run-phase.h"
#include "supervisor/token-list.h"
#include "supervisor/token-state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define KEEPER_PATIENCE_MS 20000 /* so long without an answer, and it is ended */
#define KEEPER_PINGS       4     /* in that time: counted, so that a machine that was asleep accuses nobody */

static void tell_keeper_gone(Supervisor *supervisor, const char *why)
{
    event_del(supervisor->keeper_event);
    event_del(supervisor->ping_event);
    char text[96];
    int status = role_stop(&supervisor->keeper.role, 1000);
    log_error("The keeper %s; what is running ends now.",
              status < 0 ? "is gone" : role_end_text(status, text));
    supervisor->draining = supervisor->keeper_gone = true;
    for (size_t i = supervisor->n_run; i-- > 0;)
        run_keeper_gone(supervisor->run[i], why);
}

/* Which run a keeper's record is about: each such record begins with its id. */
static Run *run_of_record(const Supervisor *supervisor, const IpcRecord *record)
{
    Slice id = record->payload;
    if (record->type != IPC_KEEPER_RUN_OPENED) {
        WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
        id = wire_get_slice(&wire, 63);
    }
    for (size_t i = 0; i < supervisor->n_run; i++)
        if (slice_is(id, supervisor->run[i]->id))
            return supervisor->run[i];
    return NULL;
}

/* A token may still be on its way from a store: its runs wait, and no other. */
static bool knows_tokens(const Supervisor *supervisor, const Retriever *retriever)
{
    for (size_t i = 0; i < retriever->n_grant; i++)
        if (!supervisor->keeper.found[retriever->grant[i].source].known)
            return false;
    return true;
}

static void start_or_refuse(Supervisor *supervisor, Run *run)
{
    bool is_over = run->report.status != RUN_IS_RUNNING;
    if (!is_over && (run->collect || supervisor_has_tokens(supervisor, run->retriever)))
        run_start(run);
    else
        run_refuse(run);
}

/* Starts each run that waits and has no older run of its retriever before it. */
static void start_waiting(Supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->n_run; i++) {
        Run *run = supervisor->run[i];
        bool ready =
            run->collect || run->report.status != RUN_IS_RUNNING || knows_tokens(supervisor, run->retriever);
        bool first = run->phase == RUN_WAITING && ready;
        for (size_t k = 0; k < i && first; k++)
            first = supervisor->run[k]->retriever != run->retriever;
        if (first)
            start_or_refuse(supervisor, run);
    }
}

void supervisor_hear_keeper(Supervisor *supervisor)
{
    static unsigned char room[IPC_MAX_RECORD];
    while (!supervisor->keeper_gone) {
        IpcRecord record;
        int r = ipc_recv(&supervisor->keeper.role.peer, room, &record);
        if (r == -EAGAIN)
            return;
        if (r || record.type == IPC_FAULT) {
            if (!r)
                log_error("%.*s", (int)record.payload.len, record.payload.ptr);
            tell_keeper_gone(supervisor, "The keeper is gone");
            return;
        }
        if (record.type == IPC_KEEPER_PONG) {
            supervisor->pings = 0;
            continue;
        }
        if (record.type == IPC_KEEPER_HELD || record.type == IPC_KEEPER_WAS_READ) {
            if (rotate_watch_answer(supervisor->rotate_watch, &record))
                log_error("The keeper said something that cannot be read.");
            continue;
        }
        if (record.type == IPC_KEEPER_TOKEN || record.type == IPC_KEEPER_FILE_WANTED) {
            Fault fault;
            if (keeper_take_record(&supervisor->keeper, &record, &fault))
                log_error("%s", fault.text);
            if (record.type == IPC_KEEPER_TOKEN)
                token_state_write(supervisor->state, supervisor->config, &supervisor->keeper);
            start_waiting(supervisor);
            continue;
        }
        Run *run = run_of_record(supervisor, &record);
        if (run)
            run_keeper_record(run, &record);
    }
}

static void on_keeper(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    supervisor_hear_keeper(context);
}

/* For tests a shorter time, never a longer one. */
static unsigned keeper_patience_ms(void)
{
    const char *said = getenv("PURSER_TEST_KEEPER_PATIENCE_MS");
    uint64_t ms;
    return said && text_parse_u64(slice_of(said), KEEPER_PATIENCE_MS, &ms) == 0 && ms >= KEEPER_PINGS
               ? (unsigned)ms
               : KEEPER_PATIENCE_MS;
}

/* A keeper that hangs would hang its runs: it is ended, and they end with it and say why. */
static void on_ping(evutil_socket_t fd, short what, void *context)
{
    Supervisor *supervisor = context;
    (void)fd, (void)what;
    supervisor_hear_keeper(supervisor); /* what it has said already counts */
    if (supervisor->keeper_gone)
        return;
    if (supervisor->pings++ == 0) {
        int r = ipc_send(&supervisor->keeper.role.peer, IPC_KEEPER_PING, (Slice){"", 0}, NULL, 0);
        (void)r; /* full: it does not read, and is not going to answer; gone: its end is read soon */
    } else if (supervisor->pings > KEEPER_PINGS) {
        log_error("The keeper has not answered for %u s: it is ended.", keeper_patience_ms() / 1000);
        kill(supervisor->keeper.role.pid, SIGKILL);
        tell_keeper_gone(supervisor, "The keeper did not answer any more and was ended");
    }
}

/* Reaps one ended child of a run and tells it; false when it has none (any more). */
static bool reap_one(Run *run)
{
    const pid_t pid[] = {run->prepare, run->runner, run->clerk.pid, run->gate.pid};
    for (size_t i = 0; i < COUNT_OF(pid); i++) {
        int status;
        if (pid[i] > 0 && waitpid(pid[i], &status, WNOHANG) == pid[i]) {
            run_child_ended(run, pid[i], status);
            return true;
        }
    }
    return false;
}

static bool is_known(pid_t pid, void *context)
{
    Supervisor *supervisor = context;
    for (size_t i = 0; i < supervisor->n_run; i++)
        if (run_owns_pid(supervisor->run[i], pid))
            return true;
    for (size_t i = 0; i < supervisor->n_aside; i++)
        if (supervisor->aside[i].pid == pid)
            return true;
    return pid == supervisor->keeper.role.pid || pid == supervisor->first_gate.pid;
}

void supervisor_end_orphans(Supervisor *supervisor)
{
    orphans_end(is_known, supervisor);
}

void supervisor_watch(Supervisor *supervisor, Aside aside)
{
    MEM_PUSH(supervisor->aside, supervisor->n_aside, aside);
}

static void reap_asides(Supervisor *supervisor)
{
    for (size_t i = supervisor->n_aside; i-- > 0;) {
        Aside aside = supervisor->aside[i];
        if (waitpid(aside.pid, NULL, WNOHANG) != aside.pid)
            continue;
        supervisor->aside[i] = supervisor->aside[--supervisor->n_aside];
        aside.ended(aside.context, aside.pid);
    }
}

static void on_child(int signal_number, short what, void *context)
{
    Supervisor *supervisor = context;
    (void)signal_number, (void)what;
    for (size_t i = supervisor->n_run; i-- > 0;) {
        Run *run = supervisor->run[i]; /* stays allocated for the rest of this turn, even when it has ended */
        while (run->phase != RUN_DONE && reap_one(run))
            ;
    }
    reap_asides(supervisor);
    orphans_reap(is_known, supervisor);
}

static void terminate_all(Supervisor *supervisor)
{
    for (size_t i = supervisor->n_run; i-- > 0;) /* one that waits goes at once */
        run_terminate(supervisor->run[i]);
}

static void on_end(int signal_number, short what, void *context)
{
    Supervisor *supervisor = context;
    (void)what;
    supervisor->told_to_end += supervisor->told_to_end == 0 && signal_number == SIGINT ? 2 : 1;
    supervisor->draining = true;
    if (supervisor->told_to_end == 1 && supervisor->on_draining)
        supervisor->on_draining(supervisor);
    if (supervisor->n_run == 0 && supervisor->n_aside == 0) {
        event_base_loopbreak(supervisor->base);
    } else if (supervisor->in_pod) {
        log_info("Told to end: what is under way is loaded first, for as long as there is time.");
    } else if (supervisor->told_to_end == 1) {
        log_info("No new runs; waiting for what is running; a second signal ends the scripts.");
    } else if (supervisor->told_to_end == 2) {
        log_info("Ending the scripts; what they left is loaded. Another signal ends that too.");
        terminate_all(supervisor);
    } else {
        log_info("Ending everything; what is not loaded yet is kept.");
        terminate_all(supervisor);
        for (size_t i = supervisor->n_run; i-- > 0;)
            run_stop_loading(supervisor->run[i]);
        for (size_t i = 0; i < supervisor->n_aside; i++) /* a rotation is gone on with, whenever it ends */
            kill(supervisor->aside[i].pid, SIGTERM);
    }
}

static void watch_signal(Supervisor *supervisor, int number, event_callback_fn callback,
                         struct event **ret_event)
{
    *ret_event = evsignal_new(supervisor->base, number, callback, supervisor);
    event_add(*ret_event, NULL);
}

static int ask_sink_first(const Supervisor *supervisor, Role *clerk, Fault *fault)
{
    uint16_t type = supervisor->config->sink.migrate ? IPC_CLERK_MIGRATE : IPC_CLERK_CHECK;
    return clerk_begin(clerk, type, NULL, NULL, 0, fault);
}

/* While the keeper starts: the sink is asked, if that needs no credential of the keeper's, and a gate comes
 * up that does not know its run yet. What fails here is tried again where it is needed, and said there. */
static void go_ahead(Supervisor *supervisor)
{
    const Config *config = supervisor->config;
    Role *clerk = &supervisor->first_clerk;
    Fault later;
    if (supervisor->starts_now && role_start(supervisor->paths->libexec, IPC_GATE, user_of_role(USER_GATE),
                                             &supervisor->first_gate, &later))
        supervisor->first_gate = ROLE_NONE;
    if (clerk->pid <= 0 || config->sink.credential.kind != STORE_NONE ||
        clerk_tell(config, &supervisor->keeper, clerk, &later))
        return;
    supervisor->sink_asked = ask_sink_first(supervisor, clerk, &later) == 0;
    if (!supervisor->sink_asked)
        role_stop(clerk, 0);
}

int supervisor_open(Supervisor *supervisor, const Config *config, const Paths *paths, State *state,
                    const bool *used)
{
    Fault fault = {0};
    supervisor->config = config;
    supervisor->paths = paths;
    supervisor->state = state;
    supervisor->first_clerk = supervisor->first_gate = ROLE_NONE;
    supervisor->keeper = KEEPER_NONE;
    supervisor->isolated = geteuid() == 0 && !supervisor->in_pod;
    /* What a script leaves behind becomes our child, so that its end can be seen and made. */
    orphans_spare();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    if (state_lock(state, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    Fault later; /* said by supervisor_windows(), which then tries again */
    if (supervisor->recorded || clerk_fork(config, paths, &supervisor->first_clerk, &later))
        supervisor->first_clerk = ROLE_NONE;
    int status = EXIT_TOKEN, r = keeper_begin(config, paths, state, used, &supervisor->keeper, &fault);
    if (!r) {
        go_ahead(supervisor);
        status = !supervisor->in_pod && state_runtime(state, &fault) ? EXIT_FAILED : EXIT_TOKEN;
        r = status == EXIT_FAILED || keeper_await(&supervisor->keeper, &fault);
    }
    if (r) {
        role_stop(&supervisor->first_clerk, 0);
        role_stop(&supervisor->first_gate, 0);
        keeper_stop(&supervisor->keeper);
        log_error("%s", fault.text);
        return status;
    }
    if (token_list_wanted(config))
        token_state_write(state, config, &supervisor->keeper);
    supervisor->base = event_base_new();
    supervisor->keeper_event = event_new(supervisor->base, supervisor->keeper.role.peer.fd,
                                         EV_READ | EV_PERSIST, on_keeper, supervisor);
    event_add(supervisor->keeper_event, NULL);
    supervisor->ping_event = event_new(supervisor->base, -1, EV_PERSIST, on_ping, supervisor);
    unsigned ms = keeper_patience_ms() / KEEPER_PINGS;
    event_add(supervisor->ping_event, &(struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000});
    supervisor->rotate_watch = rotate_watch_new(supervisor->base, state, config, &supervisor->keeper);
    watch_signal(supervisor, SIGCHLD, on_child, &supervisor->child_event);
    watch_signal(supervisor, SIGTERM, on_end, &supervisor->term_event);
    watch_signal(supervisor, SIGINT, on_end, &supervisor->int_event);
    return -1;
}

static void free_ended(Supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->n_ended; i++)
        run_free(supervisor->ended[i]);
    supervisor->n_ended = 0;
}

/* The sink shall not have a head of records that a power cut could still take away. */
void supervisor_take_seal(Supervisor *supervisor, const RunClosed *closed, const char *retriever)
{
    int r = audit_files_sync(supervisor->state);
    if (r)
        log_warning("The audit may not be on the disk yet: %s.", strerror(-r));
    else
        seals_add(&supervisor->seals, closed, retriever);
}

/* Of runs that loaded nothing, or whose keeper was slower than their clerk. */
static void put_last_seals(Supervisor *supervisor)
{
    Role clerk = ROLE_NONE;
    Fault fault = {0};
    if (supervisor->seals.n == 0 || supervisor->sink_failed || supervisor->keeper_gone)
        return;
    int r = clerk_start(supervisor->config, supervisor->paths, &supervisor->keeper, &clerk, &fault);
    for (; !r && supervisor->seals.n; seals_drop_first(&supervisor->seals)) {
        unsigned char room[512];
        WireWriter wire = WIRE_WRITER(room);
        clerk_seal_put(supervisor->seals.seal, &wire);
        r = clerk_command(&clerk, IPC_CLERK_SEAL, &wire, NULL, 0, 20000, NULL, NULL, &fault);
    }
    if (r)
        log_warning("The audit's head is not in the sink: %s The next run's will be.", fault.text);
    role_stop(&clerk, 1000);
}

void supervisor_close(Supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->n_run; i++)
        run_free(supervisor->run[i]);
    free_ended(supervisor);
    put_last_seals(supervisor);
    struct event *const event[] = {supervisor->keeper_event, supervisor->ping_event, supervisor->child_event,
                                   supervisor->term_event, supervisor->int_event};
    for (size_t i = 0; i < COUNT_OF(event); i++)
        if (event[i])
            event_free(event[i]);
    rotate_watch_free(supervisor->rotate_watch);
    role_stop(&supervisor->first_clerk, 1000);
    role_stop(&supervisor->first_gate, 1000);
    keeper_stop(&supervisor->keeper);
    seals_done(&supervisor->seals);
    if (supervisor->base)
        event_base_free(supervisor->base);
    mem_free(supervisor->run);
    mem_free(supervisor->ended);
    mem_free(supervisor->aside);
    *supervisor = (Supervisor){0};
}

/* What this machine remembers of a retriever's window, for when the sink cannot be asked. */
static int64_t remembered_window(const State *state, const char *retriever)
{
    RunReport *list = NULL;
    size_t n = 0;
    int64_t since = 0;
    if (run_report_list(state->runs_fd, retriever, 50, &list, &n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].status == RUN_OK && list[i].until > since)
            since = list[i].until;
        run_report_done(&list[i]);
    }
    mem_free(list);
    return since;
}

static void take_window(const IpcRecord *record, void *context)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int64_t since = record->type == IPC_CLERK_STREAM_IS ? wire_get_i64(&wire) : 0;
    if (record->type == IPC_CLERK_STREAM_IS && !wire_finish(&wire))
        *(int64_t *)context = since;
}

int supervisor_windows(Supervisor *supervisor, int64_t *ret_window_since, Fault *fault)
{
    const Config *config = supervisor->config;
    Role clerk = supervisor->first_clerk;
    supervisor->first_clerk = ROLE_NONE;
    int r = 0;
    if (!supervisor->sink_asked) {
        r = clerk.pid > 0 ? clerk_tell(config, &supervisor->keeper, &clerk, fault)
                          : clerk_start(config, supervisor->paths, &supervisor->keeper, &clerk, fault);
        r = r ? r : ask_sink_first(supervisor, &clerk, fault);
    }
    supervisor->sink_asked = false;
    r = r ? r : clerk_await(&clerk, 60000, NULL, NULL, fault);
    for (size_t i = 0; !r && i < config->n_retriever; i++) {
        unsigned char bytes[256];
        WireWriter wire = WIRE_WRITER(bytes);
        wire_put_text(&wire, config->retriever[i].name);
        r = clerk_command(&clerk, IPC_CLERK_STREAM, &wire, NULL, 0, 30000, take_window, &ret_window_since[i],
                          fault);
    }
    role_stop(&clerk, 1000);
    for (size_t i = 0; r && i < config->n_retriever; i++)
        ret_window_since[i] = remembered_window(supervisor->state, config->retriever[i].name);
    return r;
}

bool supervisor_has_tokens(const Supervisor *supervisor, const Retriever *retriever)
{
    bool all = true;
    for (size_t i = 0; i < retriever->n_grant; i++) {
        const KeeperFound *found = &supervisor->keeper.found[retriever->grant[i].source];
        if (found->token.found || !found->known)
            continue;
        log_error("%s: %s", retriever->name, found->token.sentence);
        all = false;
    }
    return all;
}

bool supervisor_is_busy(const Supervisor *supervisor, const Retriever *retriever)
{
    for (size_t i = 0; i < supervisor->n_run; i++)
        if (supervisor->run[i]->retriever == retriever)
            return true;
    return false;
}

static void add_run(Supervisor *supervisor, Run *run)
{
    MEM_PUSH(supervisor->run, supervisor->n_run, run);
    start_waiting(supervisor);
}

void supervisor_start_run(Supervisor *supervisor, const Retriever *retriever, int64_t window_since)
{
    keeper_turn_audit(&supervisor->keeper, supervisor->state, supervisor->config->retain.audit);
    add_run(supervisor, run_new(supervisor, retriever, window_since));
}

void supervisor_start_run_in_pod(Supervisor *supervisor, const Retriever *retriever, int64_t window_since,
                                 RunPlace *place)
{
    Run *run = run_new(supervisor, retriever, window_since);
    run->place = *place;
    place->runner = -1;
    add_run(supervisor, run);
}

void supervisor_report_run(Supervisor *supervisor, const Retriever *retriever, int64_t window_since,
                           RunStatus status, const char *sentence)
{
    Run *run = run_new(supervisor, retriever, window_since);
    run_set_status(run, status, sentence);
    add_run(supervisor, run);
}

void supervisor_report_cut_short(Supervisor *supervisor, bool *ret_had_run)
{
    RunReport *list = NULL;
    size_t n = 0;
    if (run_report_list(supervisor->state->runs_fd, NULL, SIZE_MAX, &list, &n))
        return;
    for (size_t i = n; i-- > 0;) {
        int32_t index = config_find_retriever(supervisor->config, list[i].retriever);
        if (index >= 0)
            ret_had_run[index] = true;
        if (index >= 0 && list[i].status == RUN_IS_RUNNING)
            add_run(supervisor,
                    run_new_cut_short(supervisor, &supervisor->config->retriever[index], &list[i]));
        run_report_done(&list[i]);
    }
    mem_free(list);
}

void supervisor_collect_left_over(Supervisor *supervisor, const bool *used_retriever)
{
    RunReport *list = NULL;
    size_t n = 0;
    if (run_report_list(supervisor->state->runs_fd, NULL, SIZE_MAX, &list, &n))
        return;
    for (size_t i = n; i-- > 0;) { /* the oldest first */
        int32_t index = config_find_retriever(supervisor->config, list[i].retriever);
        if (index >= 0 && used_retriever[index] &&
            (list[i].output_kept || list[i].status == RUN_IS_RUNNING)) {
            log_info("%s: loading what the run %s left.", list[i].retriever, list[i].id);
            add_run(supervisor, run_new_collect(supervisor, &supervisor->config->retriever[index], &list[i]));
        }
        run_report_done(&list[i]);
    }
    mem_free(list);
}

int supervisor_turn(Supervisor *supervisor)
{
    int r = event_base_loop(supervisor->base, EVLOOP_ONCE);
    free_ended(supervisor);
    return r < 0 ? -EIO : 0;
}

int supervisor_loop(Supervisor *supervisor, bool until_drained)
{
    int r = 0;
    while (!r && (supervisor->n_run || supervisor->n_aside || (until_drained && !supervisor->draining)))
        r = supervisor_turn(supervisor);
    return r;
}

void supervisor_run_done(Supervisor *supervisor, Run *run)
{
    size_t at = 0;
    while (at < supervisor->n_run && supervisor->run[at] != run)
        at++;
    if (at == supervisor->n_run)
        return;
    memmove(&supervisor->run[at], &supervisor->run[at + 1], (supervisor->n_run - at - 1) * sizeof(Run *));
    supervisor->n_run--;
    MEM_PUSH(supervisor->ended, supervisor->n_ended, run);
    supervisor->on_run_ended(supervisor, &run->report);
    start_waiting(supervisor);
}
