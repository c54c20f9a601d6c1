/* Runs' reports as tables for a person. See report.h. */
#include "base/clock.h"
#include "base/text.h"
#include "purser/report.h"

#include <stdio.h>

static uint64_t calls_of(const RunReport *report, uint64_t *ret_refused)
{
    uint64_t calls = 0;
    *ret_refused = 0;
    for (size_t i = 0; i < report->n_source; i++) {
        calls += report->source[i].requests;
        *ret_refused += report->source[i].refused;
    }
    return calls;
}

/* A failed script most of all wants to know. */
static void print_unused(const RunReport *report, int width)
{
    if (report->status != RUN_OK && report->status != RUN_FAILED)
        return;
    for (size_t k = 0; k < report->n_source; k++) {
        char variable[80];
        if (!report->source[k].unused)
            continue;
        text_variable(variable, sizeof(variable), report->source_name[k], "_API_URL");
        printf("%*s  The lease for %s was never used: does the script read its proxy settings from the "
               "environment (trust_env=True in aiohttp and httpx)? Its base URL is in the variable %s.\n",
               width, "", report->source_name[k], variable);
    }
}

void run_report_print_table(const RunReport *list, size_t n)
{
    int width = 9;
    for (size_t i = 0; i < n; i++)
        if ((int)strlen(list[i].retriever) > width)
            width = (int)strlen(list[i].retriever);
    printf("%-*s  %-12s  %-20s  %8s  %7s  %7s  %9s  %5s\n", width, "RETRIEVER", "STATUS", "STARTED", "TOOK",
           "CALLS", "REFUSED", "ROWS", "DEAD");
    for (size_t i = 0; i < n; i++) {
        const RunReport *report = &list[i];
        char started[CLOCK_TEXT], took[24], rows[32], dead[32];
        uint64_t refused, calls = calls_of(report, &refused);
        clock_format(started, report->started / CLOCK_SECOND * CLOCK_SECOND);
        text_human_duration(
            took, report->ended > report->started ? (uint64_t)(report->ended - report->started) : 0);
        printf("%-*s  %-12s  %-20s  %8s  %7llu  %7llu  %9s  %5s\n", width, report->retriever,
               run_status_text(report->status), started, took, (unsigned long long)calls,
               (unsigned long long)refused, text_human_count(rows, report->rows + report->unchanged),
               text_human_count(dead, report->dead));
        if (report->sentence[0])
            printf("%*s  %s\n", width, "", report->sentence);
        print_unused(report, width);
    }
}

void run_report_print_refusals(const RunReport *list, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < list[i].n_refusal; k++) {
            const RunRefusal *refusal = &list[i].refusal[k];
            char line[2048];
            if (!any)
                printf("\nRefused calls:\n");
            any = true;
            snprintf(line, sizeof(line), "%s %s%s", refusal->method, refusal->host, refusal->path);
            char safe[2100];
            text_escape(safe, sizeof(safe), line, strlen(line));
            printf("  %s: %s  (%s, %llu times)\n    %s\n", list[i].retriever, safe, refusal->code,
                   (unsigned long long)refusal->count, refusal->sentence);
        }
    }
}
