/* purser status: the last runs, what they loaded, what went wrong, and when the next ones are. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/next-run.h"
#include "purser/sink.h"
#include "purser/token-age.h"
#include "supervisor/report.h"
#include "supervisor/session.h"

#include <errno.h>
#include <stdio.h>

#define MOST_RUNS 20

typedef struct Rows {
    ClerkRows *table;
    size_t n;
} Rows;

static void take_rows(const IpcRecord *record, void *context)
{
    Rows *rows = context;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    ClerkRows row;
    if (record->type == IPC_CLERK_ROWS && !clerk_rows_get(&wire, &row))
        MEM_PUSH(rows->table, rows->n, row);
}

/* Rows per table; a sink that cannot be asked is said, and not a failure of `status`. */
static void count_rows(Session *session, Rows *rows, Fault *fault)
{
    const Sink *where = &session->config->sink;
    SinkLink sink;
    if (where->kind == SINK_SQLITE && access(where->path, F_OK) < 0) {
        fault_set(fault, 0, "There is no database yet; `purser run` makes it.");
        return;
    }
    int r = sink_open(session, &sink, fault);
    if (r == -EBUSY)
        fault_set(fault, r,
                  "Rows are not counted: the database's credential is in use by the purser that is running.");
    else if (!r)
        (void)!clerk_command(&sink.clerk, IPC_CLERK_COUNT, NULL, NULL, 0, 30000, take_rows, rows, fault);
    sink_close(&sink);
}

static int print_status_json(const Config *config, const RunReport *list, size_t n, const Rows *rows,
                             const TokenAge *age, const Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(64u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "runs");
    for (size_t i = 0; i < n; i++)
        run_report_json(&list[i], &json, NULL);
    json_array_end(&json);
    json_object_begin(&json, "rows");
    for (size_t i = 0; i < rows->n; i++)
        json_u64(&json, rows->table[i].table, rows->table[i].rows);
    json_object_end(&json);
    json_text(&json, "sinkMessage", fault->text[0] ? fault->text : NULL);
    token_ages_json(config, age, &json, "tokens");
    json_object_begin(&json, "nextRuns");
    for (size_t i = 0; i < config->n_retriever; i++)
        json_time(&json, config->retriever[i].name, next_run(&config->retriever[i], clock_wall()));
    json_object_end(&json);
    json_object_end(&json);
    return print_json(&json);
}

static int print_status_text(const Config *config, const RunReport *list, size_t n, const Rows *rows,
                             const TokenAge *age, const Fault *fault)
{
    if (n)
        run_report_print_table(list, n);
    else
        printf("No runs yet; `purser run` starts one.\n");
    run_report_print_refusals(list, n);
    run_report_print_limits(list, n);
    if (rows->n)
        printf("\nRows in the sink:\n");
    for (size_t i = 0; i < rows->n; i++) {
        char count[32];
        printf("  %-18s %12s\n", rows->table[i].table, text_human_count(count, rows->table[i].rows));
    }
    if (fault->text[0])
        printf("\n%s\n", fault->text);
    token_ages_print(config, age);
    printf("\nNext runs (of `purser schedule`):\n");
    for (size_t i = 0; i < config->n_retriever; i++) {
        char when[CLOCK_TEXT];
        int64_t at = next_run(&config->retriever[i], clock_wall());
        printf("  %-18s %s\n", config->retriever[i].name, at ? clock_format(when, at) : "by hand only");
    }
    return EXIT_OK;
}

static int show(Session *session, const char *retriever, bool as_json)
{
    RunReport *list = NULL;
    size_t n = 0;
    Rows rows = {0};
    Fault fault = {0};
    if (run_report_list(session->state.runs_fd, retriever, MOST_RUNS, &list, &n)) {
        log_error("The runs in %s cannot be read.", session->state.path);
        return EXIT_FAILED;
    }
    count_rows(session, &rows, &fault);
    CLEANUP_MEM TokenAge *age = token_ages(&session->state, session->config, list, n);
    int status =
        (as_json ? print_status_json : print_status_text)(session->config, list, n, &rows, age, &fault);
    for (size_t i = 0; i < n; i++)
        run_report_done(&list[i]);
    mem_free(list);
    mem_free(rows.table);
    return status;
}

static int run(const Invocation *invocation)
{
    Session session;
    int status = session_open(command_option(&command_status, invocation, "file"), &session);
    if (status >= 0)
        return status;
    const char *retriever = invocation->n_argument ? invocation->argument[0] : NULL;
    if (retriever && config_find_retriever(session.config, retriever) < 0) {
        log_error("There is no retriever %s in %s.", retriever, session.config->path);
        status = EXIT_USAGE;
    } else {
        status = show(&session, retriever, command_option(&command_status, invocation, "json") != NULL);
    }
    session_close(&session);
    return status;
}

const Command command_status = {
    .name = "status",
    .arguments = "[RETRIEVER]",
    .summary = "Show the last runs, their rows and errors, tokens' ages, and when the next runs are",
    .help = "Examples:\n"
            "  purser status             the last 20 runs\n"
            "  purser status github      of one retriever\n"
            "  purser status --json | jq '.runs[0].refusals'\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"json", 0, NULL, "print as JSON"}},
    .max_arguments = 1,
    .run = run,
};
