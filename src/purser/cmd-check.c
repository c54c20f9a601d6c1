/* purser check: what check.h finds, for a person or as JSON. */
#include "purser/check.h"
#include "purser/command.h"

#include <stdio.h>

static int print_findings_json(const Check *check)
{
    CLEANUP_BUF Buf text = BUF_INIT(8u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_bool(&json, "sound", check->status == EXIT_OK);
    json_array_begin(&json, "findings");
    for (size_t i = 0; i < check->n; i++) {
        json_object_begin(&json, NULL);
        json_text(&json, "what", check->finding[i].what);
        json_text(&json, "name", check->finding[i].name);
        json_bool(&json, "sound", check->finding[i].sound);
        json_bool(&json, "warning", check->finding[i].warning);
        json_text(&json, "message", check->finding[i].sentence);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    return print_json(&json);
}

static void print_findings(const Check *check)
{
    for (size_t i = 0; i < check->n; i++) {
        const CheckFinding *finding = &check->finding[i];
        printf("%-5s %-14s %s%s%s\n",
               finding->warning ? "WARN"
               : finding->sound ? "ok"
                                : "FAULT",
               finding->what, finding->name, *finding->name ? ": " : "", finding->sentence);
    }
    printf("%s\n", check->status == EXIT_OK ? "Everything that can be known before a run is sound."
                                            : "Mend what is marked FAULT; nothing was started.");
}

static int run(const Invocation *invocation)
{
    Session session;
    Selection selection;
    int status = session_open(command_option(&command_check, invocation, "file"), &session);
    if (status >= 0)
        return status;
    if ((status = select_retrievers(session.config, invocation, &selection)) >= 0) {
        session_close(&session);
        return status;
    }
    Check check = {.session = &session, .selection = &selection};
    check_all(&check);
    status = check.status;
    if (command_option(&command_check, invocation, "json"))
        status = print_findings_json(&check) ? EXIT_FAILED : status;
    else
        print_findings(&check);
    check_done(&check);
    select_done(&selection);
    session_close(&session);
    return status;
}

const Command command_check = {
    .name = "check",
    .arguments = "[RETRIEVER...]",
    .summary = "Check configuration, policies, tokens and database before anything runs",
    .help = "Opens each token's store and the database, runs each policy's tests, and starts no script.\n\n"
            "Examples:\n"
            "  purser check\n"
            "  purser check --json | jq '.findings[] | select(.sound | not)'\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"json", 0, NULL, "print as JSON"}},
    .max_arguments = -1,
    .run = run,
};
