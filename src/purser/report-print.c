/* Runs' reports as tables for a person. See report.h. */
#include "base/clock.h"
#include "base/text.h"
#include "supervisor/report.h"

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

/* Sentences come from roles that read hostile bytes. */
static void print_sentence(int width, const char *sentence)
{
    char safe[3200];
    text_escape(safe, sizeof(safe), sentence, strlen(sentence));
    printf("%*s%s\n", width, "", safe);
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
        printf("%-*s  %-12s  %-20s  %8s  %7llu  %7llu  %9s  %5s\n", width, report->retriever,
               run_status_text(report->status), started, run_report_took(report, took),
               (unsigned long long)calls, (unsigned long long)refused,
               text_human_count(rows, report->rows + report->unchanged),
               text_human_count(dead, report->dead));
        if (report->sentence[0])
            print_sentence(width + 2, report->sentence);
        print_unused(report, width);
    }
}

/* What was let pass all the same, or what was not. */
static void print_refusals(const RunReport *list, size_t n, bool passed, const char *title)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < list[i].n_refusal; k++) {
            const RunRefusal *refusal = &list[i].refusal[k];
            char line[2048], safe[2100];
            if ((strcmp(refusal->code, RUN_WOULD_REFUSE) == 0) != passed)
                continue;
            printf("%s", title);
            title = "";
            snprintf(line, sizeof(line), "%s %s%s  (%s, %llu times)", refusal->method, refusal->host,
                     refusal->path, refusal->code, (unsigned long long)refusal->count);
            text_escape(safe, sizeof(safe), line, strlen(line));
            printf("  %s: %s\n", list[i].retriever, safe);
            print_sentence(4, refusal->sentence);
        }
    }
}

void run_report_print_refusals(const RunReport *list, size_t n)
{
    print_refusals(list, n, false, "\nRefused calls:\n");
    print_refusals(list, n, true, "\nCalls that no rule allows, and that passed because of 'mode: audit':\n");
}

static const char *source_of(const RunReport *report, const RunLimit *limit)
{
    for (size_t i = 0; i < report->n_source; i++)
        if (report->source[i].source == limit->source)
            return report->source_name[i];
    return "";
}

/* Whether a run before this one in the list has told of the same limit: the list has the newest first. */
static bool told_before(const RunReport *list, size_t n, const char *source, const char *name)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_limit; k++)
            if (strcmp(list[i].limit[k].name, name) == 0 &&
                strcmp(source_of(&list[i], &list[i].limit[k]), source) == 0)
                return true;
    return false;
}

/* The name is the provider's: a stranger's. */
static void print_limit(const char *source, const RunLimit *limit)
{
    char name[256], left[32], of[32], told[CLOCK_TEXT], reset[CLOCK_TEXT];
    text_escape(name, sizeof(name), limit->name, strlen(limit->name));
    printf("  %-18s %-12s %12s left", source, name, text_human_count(left, limit->remaining));
    if (limit->limit != UINT64_MAX)
        printf(" of %s", text_human_count(of, limit->limit));
    printf(" at %s", clock_format(told, limit->told / CLOCK_SECOND * CLOCK_SECOND));
    if (limit->reset > limit->told)
        printf(", reset at %s", clock_format(reset, limit->reset / CLOCK_SECOND * CLOCK_SECOND));
    if (limit->reserved)
        printf(", %s of it for people", text_human_count(left, limit->reserved));
    printf("\n");
}

void run_report_print_limits(const RunReport *list, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_limit; k++) {
            const char *source = source_of(&list[i], &list[i].limit[k]);
            if (told_before(list, i, source, list[i].limit[k].name))
                continue;
            if (!any)
                printf("\nThe providers' own limits, when they were last asked:\n");
            any = true;
            print_limit(source, &list[i].limit[k]);
        }
}
