/* purser run: every named retriever once, in parallel. */
#include "base/log.h"
#include "base/mem.h"
#include "purser/command.h"
#include "purser/select.h"
#include "supervisor/run.h"
#include "supervisor/session.h"
#include "supervisor/window.h"

typedef struct Ended {
    RunReport *report;
    size_t n, n_collected; /* the first ones only loaded what earlier runs had left */
    int64_t *window;       /* per retriever: how far its stream has come */
} Ended;

/* Takes the report over from the run, which is about to go. */
static void on_run_ended(Supervisor *supervisor, const RunReport *report)
{
    Ended *ended = supervisor->context;
    int32_t index = config_find_retriever(supervisor->config, report->retriever);
    if (index >= 0)
        ended->window[index] = window_after(ended->window[index], report);
    MEM_PUSH(ended->report, ended->n, *report);
    *(RunReport *)report = (RunReport){0};
}

static int print_runs_json(const Ended *ended)
{
    CLEANUP_BUF Buf text = BUF_INIT(64u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "runs");
    for (size_t i = 0; i < ended->n; i++)
        run_report_json(&ended->report[i], &json, NULL);
    json_array_end(&json);
    json_object_end(&json);
    return print_json(&json);
}

/* A script that had failed in an earlier run, which said so: its outputs are loaded now. */
static bool is_old_news(const Ended *ended, size_t i)
{
    return i < ended->n_collected && !ended->report[i].output_kept;
}

static int exit_status(const Ended *ended)
{
    int status = EXIT_OK;
    for (size_t i = 0; i < ended->n; i++) {
        if (ended->report[i].status == RUN_NOT_LOADED && status == EXIT_OK)
            status = EXIT_SINK;
        else if (ended->report[i].status != RUN_OK && ended->report[i].status != RUN_NOT_LOADED &&
                 !is_old_news(ended, i))
            status = EXIT_FAILED;
    }
    for (size_t i = 0; i < ended->n; i++)
        if (ended->report[i].status == RUN_NO_TOKEN)
            status = EXIT_TOKEN;
    return status;
}

static int run_selected(Session *session, const Selection *selection, bool json)
{
    const Config *config = session->config;
    Fault fault = {0};
    CLEANUP_MEM int64_t *window = MEM_NEW_ARRAY(int64_t, config->n_retriever);
    Ended ended = {.window = window};
    Supervisor supervisor = {.on_run_ended = on_run_ended, .context = &ended, .starts_now = true};
    bool refused = false;
    int status = supervisor_open(&supervisor, config, &session->paths, &session->state, selection->source);
    if (status >= 0)
        return status;
    if (supervisor_windows(&supervisor, window, &fault))
        log_warning("%s What is collected now is kept and loaded later.", fault.text);
    supervisor_collect_left_over(&supervisor, selection->retriever);
    int r = supervisor_loop(&supervisor, false);
    ended.n_collected = ended.n;
    bool cut_short = supervisor.draining;
    for (size_t i = 0; i < config->n_retriever && !supervisor.draining; i++) {
        if (!selection->retriever[i])
            continue;
        if (supervisor_has_tokens(&supervisor, &config->retriever[i]))
            supervisor_start_run(&supervisor, &config->retriever[i], window[i]);
        else
            refused = true;
    }
    if (!r)
        r = supervisor_loop(&supervisor, false);
    cut_short |= supervisor.keeper_gone;
    supervisor_close(&supervisor);
    if (json) {
        r = print_runs_json(&ended);
    } else if (ended.n) {
        run_report_print_table(ended.report, ended.n);
        run_report_print_refusals(ended.report, ended.n);
    }
    status = r || cut_short ? EXIT_FAILED : refused ? EXIT_TOKEN : exit_status(&ended);
    for (size_t i = 0; i < ended.n; i++)
        run_report_done(&ended.report[i]);
    mem_free(ended.report);
    return status;
}

static int run(const Invocation *invocation)
{
    Session session;
    Selection selection;
    const char *file = command_option(&command_run, invocation, "file");
    const char *values = command_option(&command_run, invocation, "chart-values");
    if (file && values) {
        log_error("--file and --chart-values are two configurations; name one of them.");
        return EXIT_USAGE;
    }
    int status = session_open_form(values ? values : file, values ? CONFIG_CHART : CONFIG_MACHINE, &session);
    if (status >= 0)
        return status;
    if ((status = select_retrievers(session.config, invocation, &selection)) < 0) {
        for (size_t i = 0; i < session.config->n_note; i++)
            log_info("note: %s", session.config->note[i]);
        status = run_selected(&session, &selection, command_option(&command_run, invocation, "json") != NULL);
        select_done(&selection);
    }
    session_close(&session);
    return status;
}

const Command command_run = {
    .name = "run",
    .arguments = "[RETRIEVER...]",
    .summary = "Run retrievers once and load what they leave",
    .help =
        "Runs every retriever of purser.yaml, or those that are named, in parallel: each with leases of "
        "its own,\n"
        "in a folder of its own. What a former run could not load is loaded first.\n\n"
        "Examples:\n"
        "  purser run                        all of ./purser.yaml\n"
        "  purser run github --json          one, with the result as JSON\n"
        "  purser run -f /etc/purser/ci.yaml\n"
        "  purser run --chart-values chart/values.yaml github\n"
        "                                    a retriever of the chart, here: tokens are the keyring's, under "
        "the names\n"
        "                                    of their Secrets (or of their sources)\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"chart-values", 0, "PATH", "the chart's values.yaml instead, with files/NAME/ beside it"},
               {"json", 0, NULL, "print the result as JSON"}},
    .max_arguments = -1,
    .run = run,
};
