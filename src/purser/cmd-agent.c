/* purser agent: the supervisor of a pod. Runners are started by nobody here: they come from the retrievers'
 * containers to their sockets (seat.h), each for one run.
 *
 * It never keeps a Job from finishing: told to end, it goes on only while a runner waits for its rows, and
 * never past the time that the kubelet leaves it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/pod.h"
#include "purser/select.h"
#include "supervisor/seat.h"
#include "supervisor/session.h"

#include <signal.h>

#define LAST       (2000 * 1000)       /* us: before the kubelet kills: to drop what is not loaded, and go */
#define ALONE      (1200 * 1000)       /* us: nobody waits any more, and it may be that only 2 s are left */
#define DROPPING   (500 * 1000)        /* us: for runs that were ended to end */
#define GRACE      (30 * CLOCK_SECOND) /* Kubernetes' own default */
#define LOOK_OFTEN ((struct timeval){.tv_usec = 100000})

typedef struct Agent {
    Session *session;
    Supervisor supervisor;
    Seat *seat; /* one per retriever */
    size_t n_seat;
    int64_t *window;    /* per retriever: how far its stream has come */
    bool knows_windows; /* the sink has told */
    bool end_when_done, dropping;
    uint64_t grace;
    int64_t told, last_wanted, dropped; /* mono us: told to end; somebody waited; what is left was dropped */
    struct event *timer;
} Agent;

static Seat *seat_of(Agent *agent, const char *retriever)
{
    int32_t index = config_find_retriever(agent->session->config, retriever);
    return index < 0 ? NULL : &agent->seat[index];
}

static size_t window_of(const Agent *agent, const Seat *seat)
{
    return (size_t)(seat - agent->seat);
}

static void end_when_done(Agent *agent)
{
    for (size_t i = 0; i < agent->n_seat; i++)
        if (agent->seat[i].state != SEAT_DONE)
            return;
    if (agent->end_when_done)
        agent->supervisor.draining = true;
}

/* --- runs --- */

static bool ask_windows(Agent *agent, Fault *fault)
{
    if (!agent->knows_windows)
        agent->knows_windows = supervisor_windows(&agent->supervisor, agent->window, fault) == 0;
    return agent->knows_windows;
}

/* A database that cannot be asked could not be loaded into either: better said before the script has run for
 * nothing. */
static void on_begin(Seat *seat)
{
    Agent *agent = seat->context;
    Supervisor *supervisor = &agent->supervisor;
    size_t i = window_of(agent, seat);
    Fault fault = {0};
    if (supervisor->draining || supervisor->keeper_gone) {
        seat_refuse(&seat->place, "The agent was told to end before this run could begin.");
        supervisor_report_run(supervisor, seat->retriever, agent->window[i], RUN_NOT_STARTED,
                              "The agent was told to end before this run could begin.");
    } else if (!ask_windows(agent, &fault)) {
        seat_refuse(&seat->place, fault.text);
        supervisor_report_run(supervisor, seat->retriever, agent->window[i], RUN_NOT_STARTED, fault.text);
    } else {
        log_info("%s: starting.", seat->retriever->name);
        supervisor_start_run_in_pod(supervisor, seat->retriever, agent->window[i], &seat->place);
    }
}

static void on_lost(Seat *seat)
{
    Agent *agent = seat->context;
    supervisor_report_run(&agent->supervisor, seat->retriever, agent->window[window_of(agent, seat)],
                          RUN_NOT_PREPARED,
                          "Its container ended before it took its leases; the container's log says why.");
}

/* What whoever looks after the node or the API has to mend, not who wrote the script: it is what the pod's
 * description says of the agent too. */
static void say_untrusted(const RunReport *report)
{
    for (size_t i = 0; i < report->n_refusal; i++)
        if (report->status != RUN_OK && strcmp(report->refusal[i].code, "upstream-certificate") == 0) {
            log_error("%s: %s", report->retriever, report->refusal[i].sentence);
            return;
        }
}

static void on_run_ended(Supervisor *supervisor, const RunReport *report)
{
    Agent *agent = supervisor->context;
    Seat *seat = seat_of(agent, report->retriever);
    char took[24];
    log_info("%s: %s after %s, %llu rows, %llu dead letters%s%s", report->retriever,
             run_status_text(report->status), run_report_took(report, took), (unsigned long long)report->rows,
             (unsigned long long)report->dead, report->sentence[0] ? ": " : ".", report->sentence);
    say_untrusted(report);
    if (seat)
        seat->state = SEAT_DONE;
    end_when_done(agent);
}

/* --- the end --- */

/* A runner that prepares, or waits for its rows. */
static bool is_wanted(const Agent *agent)
{
    for (size_t i = 0; i < agent->n_seat; i++)
        if (agent->seat[i].state == SEAT_TAKEN)
            return true;
    for (size_t i = 0; i < agent->supervisor.n_run; i++)
        if (run_has_runner(agent->supervisor.run[i]))
            return true;
    return false;
}

/* What is in the database is there whole, and what is not is collected again: the sink remembers how far each
 * stream has come. */
static void drop(Agent *agent, int64_t now)
{
    Supervisor *supervisor = &agent->supervisor;
    log_warning("There is no more time: what is not loaded is dropped, and collected by the next pod.");
    agent->dropped = now;
    supervisor->sink_failed = true; /* nor are the heads of the audit written: the next run's will be */
    for (size_t i = supervisor->n_run; i-- > 0;) {
        run_terminate(supervisor->run[i]);
        if (i < supervisor->n_run)
            run_stop_loading(supervisor->run[i]);
    }
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
    Agent *agent = context;
    int64_t now = clock_mono();
    (void)fd, (void)what;
    if (is_wanted(agent))
        agent->last_wanted = now;
    if (agent->dropped && now - agent->dropped > DROPPING) {
        event_base_loopbreak(agent->supervisor.base);
        agent->dropping = true;
    } else if (!agent->dropped &&
               (now - agent->told > (int64_t)agent->grace - LAST || now - agent->last_wanted > ALONE)) {
        drop(agent, now);
    }
}

static void on_draining(Supervisor *supervisor)
{
    Agent *agent = supervisor->context;
    agent->told = agent->last_wanted = clock_mono();
    for (size_t i = 0; i < agent->n_seat; i++)
        if (agent->seat[i].state == SEAT_FREE)
            seat_close(&agent->seat[i]);
    event_add(agent->timer, &LOOK_OFTEN);
}

static int loop(Agent *agent)
{
    Supervisor *supervisor = &agent->supervisor;
    while (!agent->dropping && (!supervisor->draining || supervisor->n_run || is_wanted(agent))) {
        if (supervisor_turn(supervisor))
            return EXIT_FAILED;
    }
    return supervisor->keeper_gone ? EXIT_FAILED : EXIT_OK;
}

/* --- the beginning --- */

static int open_seats(Agent *agent, const char *sockets)
{
    CLEANUP_MEM bool *had_run = MEM_NEW_ARRAY(bool, agent->n_seat);
    Fault fault = {0};
    supervisor_report_cut_short(&agent->supervisor, had_run);
    for (size_t i = 0; i < agent->n_seat; i++) {
        Seat *seat = &agent->seat[i];
        *seat = (Seat){.retriever = &agent->session->config->retriever[i],
                       .begins = on_begin,
                       .lost = on_lost,
                       .context = agent};
        if (seat_open(seat, sockets, agent->supervisor.base, &fault)) {
            log_error(
                "%s Each retriever's container shares a volume with the agent's, which is %s/NAME here.",
                fault.text, sockets);
            return EXIT_FAILED;
        }
        if (had_run[i])
            agent->seat[i].state = SEAT_DONE;
    }
    end_when_done(agent);
    return -1;
}

static int run_agent(Agent *agent, const bool *used, const char *sockets)
{
    Session *session = agent->session;
    Supervisor *supervisor = &agent->supervisor;
    CLEANUP_FD int ready = -1;
    Fault fault = {0};
    *supervisor = (Supervisor){
        .in_pod = true, .on_run_ended = on_run_ended, .on_draining = on_draining, .context = agent};
    int status = supervisor_open(supervisor, session->config, &session->paths, &session->state, used);
    if (status >= 0)
        return status;
    agent->timer = event_new(supervisor->base, -1, EV_PERSIST, on_look, agent);
    if (!ask_windows(agent, &fault))
        log_warning("%s It is asked again when a retriever is ready.", fault.text);
    status = open_seats(agent, sockets);
    if (status < 0 && pod_ready_listen(&session->state, &ready, &fault)) {
        log_error("%s", fault.text);
        status = EXIT_FAILED;
    }
    if (status < 0) {
        struct event *asked =
            event_new(supervisor->base, ready, EV_READ | EV_PERSIST, pod_ready_answer, NULL);
        event_add(asked, NULL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL); /* what came while this was being made is taken now */
        status = loop(agent);
        event_free(asked);
    }
    for (size_t i = 0; i < agent->n_seat; i++)
        seat_close(&agent->seat[i]);
    event_free(agent->timer);
    supervisor_close(supervisor);
    return status;
}

static int take_options(const Invocation *invocation, Agent *agent, const char **ret_sockets)
{
    const char *grace = command_option(&command_agent, invocation, "grace");
    *ret_sockets = command_option(&command_agent, invocation, "sockets");
    if (!*ret_sockets)
        *ret_sockets = POD_FOLDER;
    agent->end_when_done = command_option(&command_agent, invocation, "end-when-done") != NULL;
    agent->grace = GRACE;
    if (grace && text_parse_duration(slice_of(grace), &agent->grace)) {
        log_error("--grace %s is no duration; say 30s or 2m, as terminationGracePeriodSeconds is.", grace);
        return EXIT_USAGE;
    }
    return -1;
}

static int run(const Invocation *invocation)
{
    Session session;
    Selection all;
    const char *sockets;
    Agent agent = {.session = &session};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends,
                NULL); /* as a container's first process it would not hear them before the loop */
    pod_tell_end();
    int status = take_options(invocation, &agent, &sockets);
    if (status >= 0 || (status = session_open_form(command_option(&command_agent, invocation, "file"),
                                                   CONFIG_POD, &session)) >= 0)
        return status;
    session.state.audit_fd = pod_take_stdout();
    if (pod_check_sink(&session) && (status = select_retrievers(session.config, invocation, &all)) < 0) {
        agent.n_seat = session.config->n_retriever;
        agent.seat = MEM_NEW_ARRAY(Seat, agent.n_seat);
        agent.window = MEM_NEW_ARRAY(int64_t, agent.n_seat);
        status = run_agent(&agent, all.source, sockets);
        mem_free(agent.seat);
        mem_free(agent.window);
        select_done(&all);
    } else if (status < 0) {
        status = EXIT_CONFIG;
    }
    session_close(&session);
    return status;
}

const Command command_agent = {
    .name = "agent",
    .arguments = "",
    .summary = "Serve a pod's retrievers, which run in containers of their own",
    .help = "Holds the tokens, serves each retriever's socket (/run/purser/NAME/run, where its container has "
            "/run/purser/run\n"
            "and purser-exec), and loads what they leave. The audit goes to standard output, all else to "
            "standard error.\n"
            "Told to end (SIGTERM) it goes on while a retriever waits for its rows, at most for --grace but "
            "two seconds;\n"
            "what was not loaded then is collected by the next pod. docs/architecture.md has the pod.\n\n"
            "Examples:\n"
            "  purser agent                          as an init container with restartPolicy: Always\n"
            "  purser agent --end-when-done          as a container beside the retrievers'\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"end-when-done", 0, NULL, "end once every retriever has reported"},
               {"grace", 0, "TIME", "the pod's terminationGracePeriodSeconds (default: 30s)"},
               {"sockets", 0, "DIR", "holds a folder for each retriever (default: /run/purser)"}},
    .run = run,
};
