/* A run's results from its gate. See collect.h. */
#include "clerk/collect.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Files past the limit are one dead letter and then only counted, but not for ever. */
#define EXCESS_FILES 100000
#define RETRY_US     500000

static int next(const IpcPeer *gate, void *room, IpcRecord *ret_record)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = gate->fd, .events = POLLIN};
        int ready = poll(&poll_fd, 1, COLLECT_PATIENCE_MS);
        if (ready == 0)
            return -ETIMEDOUT;
        int r = ready < 0 ? -errno : ipc_recv(gate, room, ret_record);
        if (r != -EAGAIN && r != -EINTR)
            return r;
    }
}

static int take_output(Load *load, IpcRecord *record, Fault *fault)
{
    RunOutput output;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (run_output_get(&wire, &output))
        return fault_set(fault, CLERK_E_DATA, "the runner sent an output with an impossible name");
    return load_file(load, record->fd[0], output.path, fault);
}

static int take_refused(Load *load, const IpcRecord *record, Fault *fault)
{
    RunOutputRefused refused;
    char reason[2048];
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (run_output_refused_get(&wire, &refused))
        return fault_set(fault, CLERK_E_DATA, "the runner sent a refused output that cannot be read");
    text_escape(reason, sizeof(reason), refused.reason.ptr, refused.reason.len);
    return load_refuse(load, refused.path, reason, fault);
}

static int finish(RowSink *sink, const ClerkLoad *load, const IpcRecord *record, uint32_t outputs,
                  Fault *fault)
{
    RunEnd end;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (run_end_get(&wire, &end))
        return fault_set(fault, CLERK_E_DATA, "the runner sent an end of the run that cannot be read");
    if (end.outputs != outputs)
        return fault_set(fault, CLERK_E_DATA, "the runner says that it sent %u files, and %u came",
                         end.outputs, outputs);
    if (!load->advance || end.exit_status != 0 || end.timed_out)
        return 0;
    return sink->ops->stream_set(sink, slice_of(load->retriever), slice_of(load->run), load->until, fault);
}

static int collect(RowSink *sink, const ClerkLoad *load, Load *into, const IpcPeer *gate, Fault *fault)
{
    static char room[IPC_MAX_RECORD];
    uint32_t outputs = 0, records = 0;
    for (;;) {
        IpcRecord record = {.n_fd = 0};
        int r = next(gate, room, &record);
        if (r)
            return fault_set(fault, CLERK_E_DATA, "the run's results stopped coming: %s",
                             r == -ECONNRESET ? "its gate is gone" : strerror(-r));
        bool ended = record.type == IPC_RUN_END;
        if (++records > load->output_files + EXCESS_FILES)
            r = fault_set(fault, CLERK_E_DATA, "the run left more files than can even be counted");
        else if (record.type == IPC_OUTPUT)
            outputs++, r = take_output(into, &record, fault);
        else if (record.type == IPC_OUTPUT_REFUSED)
            r = take_refused(into, &record, fault);
        else if (ended)
            r = finish(sink, load, &record, outputs, fault);
        else
            r = fault_set(fault, CLERK_E_DATA, "the run's gate sent something that is no result");
        ipc_record_close(&record);
        if (r || ended)
            return r;
    }
}

/* One that is being started anew, or fails over, comes back: nothing is taken from the gate until then. */
static int await_database(RowSink *sink, uint32_t patience, Fault *fault)
{
    int64_t until = clock_mono() + (int64_t)patience * CLOCK_SECOND;
    int r;
    while ((r = sink->ops->ready(sink, fault)) == CLERK_E_OUTAGE && clock_mono() < until)
        usleep(RETRY_US);
    return r;
}

int collect_run(RowSink *sink, const ClerkLoad *load, const IpcPeer *gate, LoadTotals *ret_totals,
                Fault *fault)
{
    Load *into = NULL;
    int r = load->patience ? await_database(sink, load->patience, fault) : 0;
    if (!r)
        r = load_begin(sink, load, &into, fault);
    if (!r)
        r = collect(sink, load, into, gate, fault);
    if (into)
        *ret_totals = load_totals(into);
    load_end(into);
    return r;
}
