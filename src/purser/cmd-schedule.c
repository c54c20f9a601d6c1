/* purser schedule: each retriever by its own cron line, until told to end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/next-run.h"
#include "purser/rotations.h"
#include "purser/select.h"
#include "supervisor/run.h"
#include "supervisor/window.h"

typedef struct Schedule {
    Session *session;
    const Selection *selection;
    Supervisor supervisor;
    int64_t *window; /* per retriever: how far its stream has come */
    int64_t *next;   /* per retriever: wall us of its next run; 0: none */
    bool *
        left_over; /* per retriever: a run's outputs could not be loaded; to be tried again before its next */
    bool *retried; /* that was done for the run that is due */
    Rotations *rotations;
    int64_t rotation; /* wall us of the next one; 0: none */
    struct event *timer;
} Schedule;

#define LONGEST_SLEEP_S 60 /* so that a clock that jumps is noticed */

static void plan_timer(Schedule *schedule)
{
    int64_t now = clock_wall(), soonest = now + (int64_t)LONGEST_SLEEP_S * CLOCK_SECOND;
    for (size_t i = 0; i < schedule->session->config->n_retriever; i++)
        if (schedule->next[i] && schedule->next[i] < soonest &&
            !supervisor_is_busy(&schedule->supervisor, &schedule->session->config->retriever[i]))
            soonest = schedule->next[i];
    if (schedule->rotation && schedule->rotation < soonest)
        soonest = schedule->rotation;
    int64_t wait = soonest > now ? soonest - now : 0;
    struct timeval time = {.tv_sec = wait / CLOCK_SECOND, .tv_usec = wait % CLOCK_SECOND};
    evtimer_add(schedule->timer, &time);
}

/* Its time has come. What its last run could not load goes first; its window begins where that ends. */
static void start(Schedule *schedule, size_t i, int64_t now)
{
    Supervisor *supervisor = &schedule->supervisor;
    const Retriever *retriever = &schedule->session->config->retriever[i];
    if (schedule->left_over[i] && !schedule->retried[i]) {
        CLEANUP_MEM bool *only = MEM_NEW_ARRAY(bool, schedule->session->config->n_retriever);
        only[i] = true;
        schedule->left_over[i] = false;
        schedule->retried[i] = true;
        supervisor_collect_left_over(supervisor, only);
        if (supervisor_is_busy(supervisor, retriever))
            return; /* still due when that has ended */
    }
    schedule->retried[i] = false;
    schedule->next[i] = next_run(retriever, now);
    log_info("%s: starting.", retriever->name);
    supervisor_start_run(supervisor, retriever, schedule->window[i]);
}

static void on_time(evutil_socket_t fd, short what, void *context)
{
    Schedule *schedule = context;
    const Config *config = schedule->session->config;
    int64_t now = clock_wall();
    (void)fd, (void)what;
    for (size_t i = 0; i < config->n_retriever && !schedule->supervisor.draining; i++) {
        const Retriever *retriever = &config->retriever[i];
        if (!schedule->next[i] || supervisor_is_busy(&schedule->supervisor, retriever))
            continue;
        int64_t planned = next_run(retriever, now);
        if (schedule->next[i] <= now)
            start(schedule, i, now);
        else if (planned && planned < schedule->next[i]) /* the clock was set back */
            schedule->next[i] = planned;
    }
    if (schedule->supervisor.draining)
        return;
    schedule->rotation = rotations_due(schedule->rotations, now);
    plan_timer(schedule);
}

static void on_run_ended(Supervisor *supervisor, const RunReport *report)
{
    Schedule *schedule = supervisor->context;
    int32_t index = config_find_retriever(supervisor->config, report->retriever);
    char took[24];
    log_info("%s: %s after %s, %llu rows, %llu dead letters%s%s", report->retriever,
             run_status_text(report->status), run_report_took(report, took), (unsigned long long)report->rows,
             (unsigned long long)report->dead, report->sentence[0] ? ": " : ".", report->sentence);
    if (index < 0)
        return;
    schedule->left_over[index] |= report->output_kept;
    schedule->window[index] = window_after(schedule->window[index], report);
    if (!supervisor->draining)
        plan_timer(schedule);
}

/* A keyring that could not be opened stays shut until purser is started again; any other store is asked
 * again, and so is a keyring that lacks the token, since it was revoked maybe. */
static bool may_come(const Supervisor *supervisor, const Retriever *retriever)
{
    const Config *config = supervisor->config;
    bool fixed = true;
    for (size_t i = 0; i < retriever->n_grant; i++) {
        uint32_t source = retriever->grant[i].source;
        const KeeperFound *found = &supervisor->keeper.found[source];
        if (found->known && !found->token.found)
            fixed &= config->source[source].token.kind == STORE_KEYRING && !found->token.store[0];
    }
    return supervisor_has_tokens(supervisor, retriever) || !fixed;
}

/* One run that was missed while purser was not running is caught up at once; more than one is still one. */
static void plan_first(Schedule *schedule)
{
    const Config *config = schedule->session->config;
    int64_t now = clock_wall();
    for (size_t i = 0; i < config->n_retriever; i++) {
        const Retriever *retriever = &config->retriever[i];
        if (!schedule->selection->retriever[i])
            continue;
        schedule->next[i] = next_run(retriever, now);
        if (schedule->next[i] && !may_come(&schedule->supervisor, retriever)) {
            log_error("%s is not run; start purser again once its token is there.", retriever->name);
            schedule->next[i] = 0;
            continue;
        }
        int64_t due = due_run(retriever, now);
        if (schedule->window[i] && due > schedule->window[i]) {
            char missed[CLOCK_TEXT];
            log_info("%s: its run of %s was missed and is caught up now.", retriever->name,
                     clock_format(missed, due));
            schedule->next[i] = now;
        }
        if (!schedule->next[i])
            log_info("%s has no schedule; it runs by hand only (`purser run %s`).", retriever->name,
                     retriever->name);
    }
}

static int run_schedule(Schedule *schedule)
{
    const Config *config = schedule->session->config;
    Fault fault = {0};
    schedule->supervisor = (Supervisor){.on_run_ended = on_run_ended, .context = schedule};
    int status = supervisor_open(&schedule->supervisor, config, &schedule->session->paths,
                                 &schedule->session->state, schedule->selection->source);
    if (status >= 0)
        return status;
    if (supervisor_windows(&schedule->supervisor, schedule->window, &fault))
        log_warning("%s What is collected now is kept and loaded later.", fault.text);
    schedule->timer = evtimer_new(schedule->supervisor.base, on_time, schedule);
    supervisor_collect_left_over(&schedule->supervisor, schedule->selection->retriever);
    plan_first(schedule);
    schedule->rotations = rotations_new(schedule->session, &schedule->supervisor);
    schedule->rotation = rotations_due(schedule->rotations, clock_wall());
    plan_timer(schedule);
    int r = supervisor_loop(&schedule->supervisor, true);
    bool keeper_gone = schedule->supervisor.keeper_gone;
    event_free(schedule->timer);
    supervisor_close(&schedule->supervisor);
    rotations_free(schedule->rotations);
    return r || keeper_gone ? EXIT_FAILED : EXIT_OK;
}

static int run(const Invocation *invocation)
{
    Session session;
    Selection selection;
    int status = session_open(command_option(&command_schedule, invocation, "file"), &session);
    if (status >= 0)
        return status;
    if ((status = select_retrievers(session.config, invocation, &selection)) < 0) {
        size_t n = session.config->n_retriever;
        Schedule schedule = {.session = &session,
                             .selection = &selection,
                             .window = MEM_NEW_ARRAY(int64_t, n),
                             .next = MEM_NEW_ARRAY(int64_t, n),
                             .left_over = MEM_NEW_ARRAY(bool, n),
                             .retried = MEM_NEW_ARRAY(bool, n)};
        status = run_schedule(&schedule);
        mem_free(schedule.window);
        mem_free(schedule.next);
        mem_free(schedule.left_over);
        mem_free(schedule.retried);
        select_done(&selection);
    }
    session_close(&session);
    return status;
}

const Command command_schedule = {
    .name = "schedule",
    .arguments = "[RETRIEVER...]",
    .summary = "Run retrievers, and rotate tokens, by their cron lines until told to end",
    .help =
        "Each retriever runs by its own `schedule:` in its own `timeZone:`, spread by a jitter that its "
        "name decides,\n"
        "never twice at once. One run that was missed while purser was not running is caught up. "
        "SIGTERM: no new\n"
        "runs, those that are running are finished; a second one ends their scripts.\n\n"
        "A source whose `rotate:` has a `schedule:` gets a new token by it, of its `command:`, if its token "
        "is\n"
        "older than its `olderThan:` (docs/rotation.md); a process of its own does that.\n\n"
        "Examples:\n"
        "  purser schedule\n"
        "  purser schedule -f /etc/purser/purser.yaml     as a service: see docs/service.md\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"}},
    .max_arguments = -1,
    .run = run,
};
