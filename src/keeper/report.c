/* A run's report. See report.h. */
#include "keeper/report.h"

#include "base/clock.h"
#include "base/mem.h"
#include "keeper/held.h"
#include "keeper/run.h"

#include <stdio.h>

static void copy(char *to, size_t size, Slice from)
{
    size_t len = from.len < size ? from.len : size - 1;
    memcpy(to, from.ptr, len);
    to[len] = 0;
}

void report_fill(RunRefusal *refusal, const char *code, const char *method, const char *host, Slice path,
                 const char *sentence)
{
    copy(refusal->code, sizeof(refusal->code), slice_of(code));
    copy(refusal->method, sizeof(refusal->method), slice_of(method));
    copy(refusal->host, sizeof(refusal->host), slice_of(host));
    copy(refusal->path, sizeof(refusal->path), path);
    copy(refusal->sentence, sizeof(refusal->sentence), slice_of(sentence));
}

static bool same_kind(const RunRefusal *a, const RunRefusal *b)
{
    return strcmp(a->code, b->code) == 0 && strcmp(a->method, b->method) == 0 &&
           strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0;
}

void report_refusal(Run *run, const RunRefusal *refusal)
{
    for (size_t i = 0; i < run->n_refusal; i++)
        if (same_kind(&run->refusal[i], refusal)) {
            run->refusal[i].count += refusal->count;
            return;
        }
    if (run->n_refusal == IPC_MAX_REFUSALS)
        return;
    MEM_PUSH(run->refusal, run->n_refusal, *refusal);
    copy(run->refusal[run->n_refusal - 1].run, sizeof(refusal->run), slice_of(run->id));
}

/* What the provider has told about this source's limits, be it to another run. */
static int send_limits(const Run *run, const Grant *grant, unsigned char *room, size_t size)
{
    int64_t now = clock_mono(), wall = clock_wall();
    int r = 0;
    for (size_t i = 0; i < grant->limits->n && r == 0; i++) {
        const Limit *told = &grant->limits->limit[i];
        RunLimit limit = {.source = grant->source,
                          .limit = told->limit,
                          .remaining = told->remaining,
                          .reserved = limits_reserved(grant->limits, told),
                          .told = wall - (now - told->told),
                          .reset = wall - (now - told->reset)};
        copy(limit.run, sizeof(limit.run), slice_of(run->id));
        copy(limit.name, sizeof(limit.name), slice_of(told->name));
        WireWriter wire = {.data = room, .room = size};
        run_limit_put(&limit, &wire);
        r = ipc_send_wire(&run->keeper->supervisor, IPC_KEEPER_RUN_LIMIT, &wire, NULL, 0);
    }
    return r;
}

int report_send(Run *run)
{
    static unsigned char room[16384];
    const IpcPeer *supervisor = &run->keeper->supervisor;
    int r = 0;
    for (size_t i = 0; i < run->n_grant && r == 0; i++) {
        RunSource count = run->grant[i].count;
        copy(count.run, sizeof(count.run), slice_of(run->id));
        count.source = run->grant[i].source;
        count.unused = !run->grant[i].seen;
        Held *held = run->keeper->upstream[count.source].held;
        if (held) {
            count.store_calls = held->calls - held->counted;
            held->counted = held->calls;
            count.token_set = held->token.set;
        }
        WireWriter wire = WIRE_WRITER(room);
        run_source_put(&count, &wire);
        r = ipc_send_wire(supervisor, IPC_KEEPER_RUN_SOURCE, &wire, NULL, 0);
        r = r ? r : send_limits(run, &run->grant[i], room, sizeof(room));
    }
    for (size_t i = 0; i < run->n_refusal && r == 0; i++) {
        WireWriter wire = WIRE_WRITER(room);
        run_refusal_put(&run->refusal[i], &wire);
        r = ipc_send_wire(supervisor, IPC_KEEPER_RUN_REFUSAL, &wire, NULL, 0);
    }
    return r;
}
