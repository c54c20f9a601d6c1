/* purser doctor: which protections hold on this machine, each proven by trying. */
#include "base/log.h"
#include "purser/session.h"
#include "sandbox/sandbox.h"

#include <stdio.h>

static int print_report_json(const SandboxReport *report)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_array_begin(&json, NULL);
    for (size_t i = 0; i < report->n_finding; i++) {
        json_object_begin(&json, NULL);
        json_text(&json, "name", report->finding[i].name);
        json_text(&json, "state", sandbox_state_text(report->finding[i].state));
        json_text(&json, "message", report->finding[i].sentence);
        json_object_end(&json);
    }
    json_array_end(&json);
    return print_json(&json);
}

static int run(const Invocation *invocation)
{
    SandboxReport report;
    bool missing = false;
    if (sandbox_report(&report)) {
        log_error("The protections of this machine cannot be tried.");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < report.n_finding; i++)
        missing |= report.finding[i].state == SANDBOX_MISSING;
    if (command_option(&command_doctor, invocation, "json"))
        return print_report_json(&report) ? EXIT_FAILED : missing ? EXIT_FAILED : EXIT_OK;
    for (size_t i = 0; i < report.n_finding; i++)
        printf("%-8s %-18s %s\n", sandbox_state_text(report.finding[i].state), report.finding[i].name,
               report.finding[i].sentence);
    return missing ? EXIT_FAILED : EXIT_OK;
}

const Command command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Show which protections hold on this machine",
    .help = "Each is tried: a child process goes behind the wall and attempts what it forbids. Exit status 1 "
            "when one is\n"
            "missing. SECURITY.md says what each protects from.\n",
    .option = {{"json", 0, NULL, "print as JSON"}},
    .run = run,
};
