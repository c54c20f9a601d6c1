/* A run's LOADING: a clerk takes what the runner passes. See run-phase.h. */
#include "supervisor/run-phase.h"

#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>

#define LOADING_TIME_S 3600 /* above the clerk's own limits at the database */

void run_load_stop(Run *run)
{
    if (run->clerk_event)
        event_free(run->clerk_event);
    run->clerk_event = NULL;
    fd_close(&run->clerk.peer.fd);
    seals_move(&run->sealing, &run->supervisor->seals); /* those that it did not come to */
}

void run_load_failed(Run *run, const char *sentence)
{
    run_load_stop(run);
    if (run->clerk.pid > 0)
        kill(run->clerk.pid, SIGTERM);
    run_keep_output(run);
    if (run->report.status == RUN_OK)
        run->report.status = RUN_IS_RUNNING;
    run_set_status(run, RUN_NOT_LOADED, sentence);
    run->supervisor->sink_failed = true;
    fd_close(&run->results_fd); /* the gate tells the runner */
    run_enter_ending(run);
}

/* How its script had ended is what a run says once its outputs are loaded after all. */
static void set_status_of_collected(Run *run)
{
    RunReport *report = &run->report;
    char how[64] = "The run had been cut short", sentence[192];
    if (report->exit_status == 0 && report->advance) {
        run_set_status(run, RUN_OK, "");
        return;
    }
    if (report->signal)
        snprintf(how, sizeof(how), "The script had been killed by signal %d", report->signal);
    else if (report->exit_status > 0)
        snprintf(how, sizeof(how), "The script had ended with status %d", report->exit_status);
    snprintf(sentence, sizeof(sentence),
             "%s; what it left is loaded now, and the next run covers its window again.", how);
    run_set_status(run, RUN_FAILED, sentence);
}

static void take_loaded(Run *run, Slice payload)
{
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    RunLoaded loaded;
    char sentence[768];
    if (run_loaded_get(&wire, &loaded))
        return;
    run->have_loaded = true;
    run->report.rows = loaded.rows;
    run->report.unchanged = loaded.unchanged;
    run->report.dead = loaded.dead;
    run->report.files = loaded.files;
    run->report.output_kept = loaded.result != RUN_LOAD_OK && !run->place.folder;
    snprintf(sentence, sizeof(sentence), "%.*s", (int)loaded.sentence.len, loaded.sentence.ptr);
    run->supervisor->sink_failed = loaded.result != RUN_LOAD_OK;
    if (loaded.result != RUN_LOAD_OK) {
        if (run->report.status == RUN_OK)
            run->report.status = RUN_IS_RUNNING;
        run_set_status(run, RUN_NOT_LOADED, sentence);
    } else if (run->collect) {
        set_status_of_collected(run);
    }
}

/* The clerk was told to record the run, then to keep heads of the audit. */
static void take_told(Run *run, const ClerkDone *done)
{
    if (done->result)
        log_warning("%s: not in the sink's %s: %s", run->id,
                    run->sink_answered ? "audit_seal" : "collection_run", done->sentence);
    else if (run->sink_answered)
        seals_drop_first(&run->sealing);
    run->sink_answered = true;
    run->supervisor->sink_failed = done->result != 0;
    if (done->result || run->sealing.n == 0)
        run_load_stop(run);
}

/* The end of what the clerk was told: to load, or to record. */
static void take_done(Run *run, Slice payload)
{
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    ClerkDone done;
    if (run->sink_told) {
        if (clerk_done_get(&wire, &done))
            done = (ClerkDone){.result = CLERK_E_DATA, .sentence = "its answer cannot be read"};
        take_told(run, &done);
    } else if (!run->have_loaded) {
        run_load_failed(run, "The clerk could not load the results.");
    } else {
        run_enter_ending(run);
        if (run->report.output_kept) /* nothing to record yet */
            run_load_stop(run);
    }
}

static void on_clerk(evutil_socket_t fd, short what, void *context)
{
    static unsigned char room[IPC_MAX_RECORD];
    Run *run = context;
    (void)fd, (void)what;
    for (;;) {
        IpcRecord record;
        int r = ipc_recv(&run->clerk.peer, room, &record);
        if (r == -EAGAIN)
            return;
        if (r || record.type == IPC_FAULT) {
            char sentence[768];
            if (r)
                snprintf(sentence, sizeof(sentence), "The clerk ended before the results were loaded; %s.",
                         run_fate(run));
            else
                snprintf(sentence, sizeof(sentence), "%.*s", (int)record.payload.len, record.payload.ptr);
            run_load_stop(run);
            if (run->sink_told)
                log_warning("%s: not in the sink's %s: the clerk ended.", run->id,
                            run->sink_answered ? "audit_seal" : "collection_run");
            else if (run->have_loaded)
                run_enter_ending(run);
            else
                run_load_failed(run, sentence);
            run_advance(run);
            return;
        }
        if (record.type == IPC_LOADED)
            take_loaded(run, record.payload);
        ipc_record_close(&record);
        if (record.type == IPC_CLERK_DONE) {
            take_done(run, record.payload);
            run_advance(run);
            return;
        }
    }
}

void run_load_records(Run *run)
{
    if (run->clerk_event)
        on_clerk(-1, 0, run);
}

static int send_load(Run *run, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    const Config *config = run->supervisor->config;
    const Retriever *retriever = run->retriever;
    WireWriter wire = WIRE_WRITER(bytes);
    char *source[CONFIG_MAX_SOURCES];
    for (size_t i = 0; i < retriever->n_grant; i++)
        source[i] = config->source[retriever->grant[i].source].name;
    ClerkLoad load = {.run = run->id,
                      .retriever = retriever->name,
                      .file = (char *)"",
                      .source = source,
                      .n_source = retriever->n_grant,
                      .since = run->report.since,
                      .until = run->report.until,
                      .observed = run->report.ended,
                      .output_bytes = retriever->output_bytes,
                      .output_files = retriever->output_files,
                      .advance = run->report.advance,
                      .patience = run_sink_patience(run)};
    clerk_load_put(&load, &wire);
    return role_send_wire(&run->clerk, IPC_CLERK_LOAD, &wire, &run->results_fd, 1, fault);
}

int run_load_clerk(Run *run, Fault *fault)
{
    Supervisor *supervisor = run->supervisor;
    int r = clerk_start(supervisor->config, supervisor->paths, &supervisor->keeper, &run->clerk, fault);
    if (r)
        return r;
    run->clerk_event = event_new(supervisor->base, run->clerk.peer.fd, EV_READ | EV_PERSIST, on_clerk, run);
    event_add(run->clerk_event, NULL);
    return 0;
}

void run_load(Run *run)
{
    Fault fault = {0};
    run_enter(run, RUN_LOADING, LOADING_TIME_S);
    run_close_at_keeper(run);
    int r = run_load_clerk(run, &fault);
    if (!r)
        r = send_load(run, &fault);
    if (r)
        run_load_failed(run, fault.text);
    else
        fd_close(&run->results_fd);
}
