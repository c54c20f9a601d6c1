/* A run's line in the sink's collection_run, and the audit's head beside it. See run-phase.h. */
#include "supervisor/run-phase.h"

#include "base/log.h"

/* One whose outputs are kept is told of when they are loaded; one that purser's own end has kept from
 * beginning says nothing about the collection. */
static bool is_for_sink(const Run *run)
{
    return !run->sink_told && !run->supervisor->recorded && !run->keeper_open && !run->report.output_kept &&
           (run->have_loaded || !run->told_to_end);
}

static int put_run(const Run *run, WireWriter *wire)
{
    const RunReport *report = &run->report;
    CLEANUP_BUF Buf sources = BUF_INIT(IPC_MAX_PAYLOAD / 2);
    CLEANUP_BUF Buf refusals = BUF_INIT(IPC_MAX_PAYLOAD / 4);
    JsonWriter sources_json = JSON_WRITER(&sources), refusals_json = JSON_WRITER(&refusals);
    ClerkRun record = {.run = slice_of(report->id),
                       .retriever = slice_of(report->retriever),
                       .status = slice_of(run_status_text(report->status)),
                       .exit_status = report->exit_status,
                       .started = report->started,
                       .ended = report->ended,
                       .since = report->since,
                       .until = report->until};
    run_report_sources(report, &sources_json, NULL);
    run_report_refusal_counts(report, &refusals_json);
    if (json_finish(&sources_json) || json_finish(&refusals_json))
        return -EMSGSIZE;
    if (run->keeper_told) {
        record.sources = buf_slice(&sources);
        record.refusals = buf_slice(&refusals);
    }
    clerk_run_put(&record, wire);
    return 0;
}

static int send_run(Run *run, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    if (put_run(run, &wire))
        return fault_set(fault, -EMSGSIZE, "Its report is too long for a record.");
    return role_send_wire(&run->clerk, IPC_CLERK_RUN, &wire, NULL, 0, fault);
}

bool run_tell_sink(Run *run)
{
    Fault fault = {0};
    int r = 0;
    bool is_leaving = !run->clerk_event && run->clerk.pid > 0; /* a clerk that has failed; then another one */
    if (!is_for_sink(run) || is_leaving)
        return false;
    run->sink_told = true;
    run_settle(run);
    if (!run->clerk_event)
        r = run_load_clerk(run, &fault);
    r = r ? r : send_run(run, &fault);
    seals_move(&run->supervisor->seals, &run->sealing);
    r = r ? r : seals_send(&run->sealing, &run->clerk, &fault);
    if (r) {
        log_warning("%s: not in the sink's collection_run: %s", run->id, fault.text);
        run_load_stop(run);
        return false;
    }
    run_enter_ending(run); /* its time begins anew */
    return true;
}
