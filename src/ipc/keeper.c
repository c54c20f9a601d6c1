/* Records about runs between supervisor and keeper. See keeper.h. */
#include "ipc/gate.h"
#include "ipc/list.h"

#include <errno.h>

void host_port_put(const HostPort *host, WireWriter *wire)
{
    wire_put_text(wire, host->host);
    wire_put_u16(wire, host->port);
}

static void get_host_port(WireReader *wire, HostPort *host)
{
    host->host = wire_dup_text(wire, 253);
    host->port = wire_get_u16(wire);
}

int host_port_get(WireReader *wire, HostPort *ret_host)
{
    HostPort host;
    get_host_port(wire, &host);
    int r = wire_finish(wire);
    if (r)
        mem_free(host.host);
    else
        *ret_host = host;
    return r;
}

void keeper_run_put(const KeeperRun *run, WireWriter *wire)
{
    wire_put_text(wire, run->run);
    wire_put_text(wire, run->retriever);
    wire_put_u64(wire, run->time_limit);
    wire_put_u32(wire, (uint32_t)run->n_grant);
    for (size_t i = 0; i < run->n_grant; i++) {
        wire_put_u32(wire, run->grant[i].source);
        wire_put_u32(wire, run->grant[i].policy);
        wire_put_i64(wire, run->grant[i].audit_until);
    }
    wire_put_u32(wire, (uint32_t)run->n_egress);
    for (size_t i = 0; i < run->n_egress; i++)
        host_port_put(&run->egress[i], wire);
    wire_put_u32(wire, (uint32_t)run->n_reveal);
    for (size_t i = 0; i < run->n_reveal; i++)
        wire_put_u32(wire, run->reveal[i]);
    wire_put_u8(wire, run->record);
}

int keeper_run_get(WireReader *wire, KeeperRun *ret_run)
{
    KeeperRun run = {.run = wire_dup_text(wire, 63)};
    run.retriever = wire_dup_text(wire, 63);
    run.time_limit = wire_get_u64(wire);
    run.n_grant = wire_get_count(wire, CONFIG_MAX_SOURCES);
    run.grant = MEM_NEW_ARRAY(GrantRef, run.n_grant);
    for (size_t i = 0; i < run.n_grant; i++) {
        run.grant[i].source = wire_get_u32(wire);
        run.grant[i].policy = wire_get_u32(wire);
        run.grant[i].audit_until = wire_get_i64(wire);
    }
    run.n_egress = wire_get_count(wire, CONFIG_MAX_LIST);
    run.egress = MEM_NEW_ARRAY(HostPort, run.n_egress);
    for (size_t i = 0; i < run.n_egress; i++)
        get_host_port(wire, &run.egress[i]);
    run.n_reveal = wire_get_count(wire, CONFIG_MAX_REVEALED);
    for (size_t i = 0; i < run.n_reveal; i++)
        run.reveal[i] = wire_get_u32(wire);
    run.record = wire_get_bool(wire);
    if (wire_finish(wire)) {
        keeper_run_done(&run);
        return -EBADMSG;
    }
    *ret_run = run;
    return 0;
}

void keeper_run_done(KeeperRun *run)
{
    mem_free(run->run);
    mem_free(run->retriever);
    mem_free(run->grant);
    for (size_t i = 0; i < run->n_egress; i++)
        mem_free(run->egress[i].host);
    mem_free(run->egress);
    *run = (KeeperRun){0};
}

void run_source_put(const RunSource *source, WireWriter *wire)
{
    wire_put_text(wire, source->run);
    wire_put_u32(wire, source->source);
    wire_put_u64(wire, source->requests);
    wire_put_u64(wire, source->refused);
    wire_put_u64(wire, source->failed);
    wire_put_u64(wire, source->retried);
    wire_put_u64(wire, source->sent);
    wire_put_u64(wire, source->received);
    wire_put_u64(wire, source->redacted);
    wire_put_u64(wire, source->store_calls);
    wire_put_i64(wire, source->token_set);
    wire_put_u8(wire, source->unused);
}

int run_source_get(WireReader *wire, RunSource *ret_source)
{
    RunSource source = {0};
    WIRE_GET_ARRAY(wire, source.run);
    source.source = wire_get_u32(wire);
    source.requests = wire_get_u64(wire);
    source.refused = wire_get_u64(wire);
    source.failed = wire_get_u64(wire);
    source.retried = wire_get_u64(wire);
    source.sent = wire_get_u64(wire);
    source.received = wire_get_u64(wire);
    source.redacted = wire_get_u64(wire);
    source.store_calls = wire_get_u64(wire);
    source.token_set = wire_get_i64(wire);
    source.unused = wire_get_bool(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_source = source;
    return r;
}

void run_refused_put(const RunRefused *refused, WireWriter *wire)
{
    wire_put_text(wire, refused->run);
    wire_put_text(wire, refused->sentence);
}

int run_refused_get(WireReader *wire, RunRefused *ret_refused)
{
    RunRefused refused = {.run = ""};
    WIRE_GET_ARRAY(wire, refused.run);
    WIRE_GET_ARRAY(wire, refused.sentence);
    int r = wire_finish(wire);
    if (!r)
        *ret_refused = refused;
    return r;
}

void run_limit_put(const RunLimit *limit, WireWriter *wire)
{
    wire_put_text(wire, limit->run);
    wire_put_u32(wire, limit->source);
    wire_put_text(wire, limit->name);
    wire_put_u64(wire, limit->limit);
    wire_put_u64(wire, limit->remaining);
    wire_put_u64(wire, limit->reserved);
    wire_put_i64(wire, limit->told);
    wire_put_i64(wire, limit->reset);
}

int run_limit_get(WireReader *wire, RunLimit *ret_limit)
{
    RunLimit limit = {0};
    WIRE_GET_ARRAY(wire, limit.run);
    limit.source = wire_get_u32(wire);
    WIRE_GET_ARRAY(wire, limit.name);
    limit.limit = wire_get_u64(wire);
    limit.remaining = wire_get_u64(wire);
    limit.reserved = wire_get_u64(wire);
    limit.told = wire_get_i64(wire);
    limit.reset = wire_get_i64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_limit = limit;
    return r;
}

void run_closed_put(const RunClosed *closed, WireWriter *wire)
{
    wire_put_text(wire, closed->run);
    wire_put_text(wire, closed->installation);
    wire_put_u64(wire, closed->number);
    wire_put_slice(wire, (Slice){(const char *)closed->head, sizeof(closed->head)});
    wire_put_i64(wire, closed->time);
}

int run_closed_get(WireReader *wire, RunClosed *ret_closed)
{
    RunClosed closed = {.number = 0};
    WIRE_GET_ARRAY(wire, closed.run);
    WIRE_GET_ARRAY(wire, closed.installation);
    closed.number = wire_get_u64(wire);
    WIRE_GET_BYTES(wire, closed.head);
    closed.time = wire_get_i64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_closed = closed;
    return r;
}

void run_seen_put(const RunSeen *seen, WireWriter *wire)
{
    wire_put_text(wire, seen->run);
    wire_put_u32(wire, seen->source);
    wire_put_text(wire, seen->method);
    wire_put_text(wire, seen->host);
    wire_put_slice(wire, seen->path);
    wire_put_slice(wire, seen->query);
    wire_put_slice(wire, seen->document);
    wire_put_slice(wire, seen->variables);
    wire_put_u64(wire, seen->count);
}

int run_seen_get(WireReader *wire, RunSeen *ret_seen)
{
    RunSeen seen = {0};
    WIRE_GET_ARRAY(wire, seen.run);
    seen.source = wire_get_u32(wire);
    WIRE_GET_ARRAY(wire, seen.method);
    WIRE_GET_ARRAY(wire, seen.host);
    seen.path = wire_get_slice(wire, RUN_SEEN_MAX_TEXT);
    seen.query = wire_get_slice(wire, RUN_SEEN_MAX_TEXT);
    seen.document = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    seen.variables = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    seen.count = wire_get_u64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_seen = seen;
    return r;
}

void run_refusal_put(const RunRefusal *refusal, WireWriter *wire)
{
    wire_put_text(wire, refusal->run);
    wire_put_text(wire, refusal->code);
    wire_put_text(wire, refusal->method);
    wire_put_text(wire, refusal->host);
    wire_put_text(wire, refusal->path);
    wire_put_text(wire, refusal->sentence);
    wire_put_u64(wire, refusal->count);
}

int run_refusal_get(WireReader *wire, RunRefusal *ret_refusal)
{
    RunRefusal refusal = {0};
    WIRE_GET_ARRAY(wire, refusal.run);
    WIRE_GET_ARRAY(wire, refusal.code);
    WIRE_GET_ARRAY(wire, refusal.method);
    WIRE_GET_ARRAY(wire, refusal.host);
    WIRE_GET_ARRAY(wire, refusal.path);
    WIRE_GET_ARRAY(wire, refusal.sentence);
    refusal.count = wire_get_u64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_refusal = refusal;
    return r;
}
