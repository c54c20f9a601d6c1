/* purser policy record: a retriever run once, only watched; what it asked for, as a policy. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/policy-commands.h"
#include "purser/select.h"
#include "supervisor/run.h"
#include "supervisor/session.h"

#include <stdio.h>

typedef struct Recording {
    const Invocation *invocation;
    const Config *config;
    const Retriever *retriever;
    Recorded recorded;
    RunReport report;
    bool ended;
} Recording;

static void on_run_ended(Supervisor *supervisor, const RunReport *report)
{
    Recording *recording = supervisor->context;
    recording->ended = true;
    recording->report = *report;
    *(RunReport *)report = (RunReport){0};
}

static int run_it(Recording *recording, Session *session, const Selection *selection)
{
    Supervisor supervisor = {.on_run_ended = on_run_ended,
                             .context = recording,
                             .recorded = &recording->recorded,
                             .sink_failed = true}; /* it is not asked for anything */
    int status =
        supervisor_open(&supervisor, session->config, &session->paths, &session->state, selection->source);
    if (status >= 0)
        return status;
    if (supervisor_has_tokens(&supervisor, recording->retriever)) {
        supervisor_start_run(&supervisor, recording->retriever, 0);
        status = supervisor_loop(&supervisor, false) || supervisor.keeper_gone ? EXIT_FAILED : EXIT_OK;
    } else {
        status = EXIT_TOKEN;
    }
    supervisor_close(&supervisor);
    return status;
}

/* As the rules have it: beneath the API's base, its own host unnamed. False: no rule is about it. */
static bool relative(const Source *source, PolicySeen *seen)
{
    if (strcmp(seen->host, source->api.host) != 0)
        return true;
    size_t base = strlen(source->api.base);
    seen->host += strlen(seen->host);
    if (seen->document[0])
        return true;
    if (strncmp(seen->path, source->api.base, base) != 0)
        return false;
    seen->path += base;
    return seen->path[0] == '/';
}

static const RunSource *counts_of(const RunReport *report, uint32_t source)
{
    for (size_t i = 0; i < report->n_source; i++)
        if (report->source[i].source == source)
            return &report->source[i];
    return NULL;
}

/* What was printed must be a policy under which all that passes; else it would not be worth printing. */
static int check(const char *text, Fault *fault)
{
    Policy *policy = NULL;
    int r = policy_parse("the recorded policy", slice_of(text), &policy, fault);
    r = r ? r : policy_run_tests(policy, fault);
    policy_free(policy);
    return r;
}

static void print_refused(const RunReport *report)
{
    for (size_t i = 0; i < report->n_refusal; i++) {
        const RunRefusal *refusal = &report->refusal[i];
        char safe[2600], what[2500];
        if (strcmp(refusal->code, RUN_WOULD_REFUSE) == 0)
            continue;
        snprintf(what, sizeof(what), "%s %s%s (%s)", refusal->method, refusal->host, refusal->path,
                 refusal->code);
        text_escape(safe, sizeof(safe), what, strlen(what));
        printf("# Refused also while it was only watched, so not allowed here: %s\n", safe);
    }
}

static int print_policy(const Recording *recording, const GrantRef *grant)
{
    CLEANUP_BUF Buf text = BUF_INIT(8u << 20);
    const Source *source = &recording->config->source[grant->source];
    const Recorded *recorded = &recording->recorded;
    const RunSource *counts = counts_of(&recording->report, grant->source);
    char day[CLOCK_TEXT];
    PolicySeen *seen = MEM_NEW_ARRAY(PolicySeen, recorded->n ? recorded->n : 1);
    size_t n = 0;
    for (size_t i = 0; i < recorded->n; i++) {
        seen[n] = recorded->seen[i];
        n += recorded->source[i] == grant->source && relative(source, &seen[n]);
    }
    clock_format(day, recording->report.started);
    CLEANUP_MEM char *own = mem_printf("%.50s-recorded", recording->retriever->name);
    CLEANUP_MEM char *about = mem_printf("What the retriever %s asked of the source %s on %.10s.",
                                         recording->retriever->name, source->name, day);
    const char *called = policy_option(recording->invocation, "name");
    PolicyNarrow narrow = {called ? called : own,
                           about,
                           seen,
                           n,
                           &recording->config->policy[grant->policy]->with,
                           counts ? counts->requests : 0,
                           counts ? counts->received : 0};
    Fault fault = {0};
    int r = policy_narrow(&narrow, &text, &fault);
    r = r ? r : check(buf_text(&text), &fault);
    mem_free(seen);
    if (r) {
        log_error("No policy can be made of what was seen: %s",
                  fault.text[0] ? fault.text : "it is too much.");
        return EXIT_FAILED;
    }
    print_refused(&recording->report);
    fwrite(text.data, 1, text.len, stdout);
    return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

static int choose_grant(const Recording *recording, const GrantRef **ret_grant)
{
    const char *wanted = policy_option(recording->invocation, "source");
    const Retriever *retriever = recording->retriever;
    for (size_t i = 0; i < retriever->n_grant; i++)
        if (!wanted || strcmp(recording->config->source[retriever->grant[i].source].name, wanted) == 0) {
            *ret_grant = &retriever->grant[i];
            if (wanted || retriever->n_grant == 1)
                return -1;
        }
    if (wanted || retriever->n_grant == 0)
        log_error("The retriever %s does not use the source %s.", retriever->name,
                  wanted ? wanted : "(none)");
    else
        log_error(
            "The retriever %s uses several sources, and a policy is of one: say --source %s, for example.",
            retriever->name, recording->config->source[retriever->grant[0].source].name);
    return EXIT_USAGE;
}

static int record(Recording *recording, Session *session, const Selection *selection)
{
    const GrantRef *grant = NULL;
    int status = choose_grant(recording, &grant);
    if (status >= 0)
        return status;
    status = run_it(recording, session, selection);
    if (status)
        return status;
    if (!recording->ended || recording->report.status != RUN_RECORDED) {
        log_error("The run %s: %s What it did until then is printed all the same.",
                  run_status_text(recording->report.status), recording->report.sentence);
        status = EXIT_FAILED;
    }
    if (recording->recorded.lost)
        log_warning("%llu requests were of too many kinds, or too long, and are not in it.",
                    (unsigned long long)recording->recorded.lost);
    int printed = print_policy(recording, grant);
    return status ? status : printed;
}

int policy_record_run(const Invocation *invocation)
{
    Session session;
    Selection selection;
    if (invocation->n_argument != 2) {
        log_error("purser policy record takes one retriever.");
        return EXIT_USAGE;
    }
    const char *name = policy_option(invocation, "name");
    if (name && !text_is_name(slice_of(name))) {
        log_error("'%.80s' is not a policy's name: lower-case letters, digits, '.', '_' and '-'.", name);
        return EXIT_USAGE;
    }
    int status = session_open(policy_option(invocation, "file"), &session);
    if (status >= 0)
        return status;
    Invocation rest = *invocation;
    rest.argument++;
    rest.n_argument--;
    if ((status = select_retrievers(session.config, &rest, &selection)) < 0) {
        int32_t index = config_find_retriever(session.config, rest.argument[0]);
        Recording recording = {.invocation = invocation,
                               .config = session.config,
                               .retriever = &session.config->retriever[index]};
        status = record(&recording, &session, &selection);
        recorded_done(&recording.recorded);
        run_report_done(&recording.report);
        select_done(&selection);
    }
    session_close(&session);
    return status;
}
