/* Every record that one role reads from another, from hostile bytes; the first byte says which. What is
 * accepted is, written again, the same bytes. */
#include "base/mem.h"
#include "ipc/clerk.h"
#include "ipc/gate.h"
#include "ipc/stream.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const WireWriter *writer, const WireReader *reader)
{
    if (writer->failed || writer->len != reader->at || memcmp(writer->data, reader->data, writer->len) != 0)
        abort();
}

#define TRY(Type, prefix, done)                                                                              \
    static void try_##prefix(WireReader *reader, WireWriter *writer)                                         \
    {                                                                                                        \
        static Type record;                                                                                  \
        if (prefix##_get(reader, &record))                                                                   \
            return;                                                                                          \
        prefix##_put(&record, writer);                                                                       \
        check_same(writer, reader);                                                                          \
        done(&record);                                                                                       \
    }

static void nothing(const void *record)
{
    (void)record;
}

TRY(ClerkSetup, clerk_setup, clerk_setup_done)
TRY(ClerkLoad, clerk_load, clerk_load_done)
TRY(ClerkRun, clerk_run, nothing)
TRY(ClerkPrune, clerk_prune, nothing)
TRY(ClerkRows, clerk_rows, nothing)
TRY(ClerkDone, clerk_done, nothing)
TRY(GateSetup, gate_setup, gate_setup_done)
TRY(GateSource, gate_source, gate_source_done)
TRY(RunEnv, run_env, nothing)
TRY(LeaseRecord, lease_record, nothing)
TRY(TunnelRecord, tunnel, nothing)
TRY(TunnelRefused, tunnel_refused, nothing)
TRY(KeeperSetup, keeper_setup, keeper_setup_done)
TRY(KeeperSource, keeper_source, keeper_source_done)
TRY(TokenRef, token_ref, token_ref_done)
TRY(KeeperToken, keeper_token, nothing)
TRY(KeeperRun, keeper_run, keeper_run_done)
TRY(RunSource, run_source, nothing)
TRY(RunRefusal, run_refusal, nothing)
TRY(RunSeen, run_seen, nothing)
TRY(RunLimit, run_limit, nothing)
TRY(RunRefused, run_refused, nothing)
TRY(RunClosed, run_closed, nothing)
TRY(ClerkSeal, clerk_seal, nothing)
TRY(RunLimits, run_limits, nothing)
TRY(RunOutput, run_output, nothing)
TRY(RunOutputRefused, run_output_refused, nothing)
TRY(RunEnd, run_end, nothing)
TRY(RunLoaded, run_loaded, nothing)
TRY(StreamRefuse, stream_refuse, nothing)
TRY(StreamLeaseAsk, stream_lease_ask, nothing)

static HttpHeader headers[HTTP_MAX_HEADERS];

static void try_stream_request(WireReader *reader, WireWriter *writer)
{
    StreamRequest request;
    if (stream_request_get(reader, headers, &request))
        return;
    if (request.path_len > request.target.len || request.n_header > HTTP_MAX_HEADERS)
        abort();
    stream_request_put(&request, writer);
    check_same(writer, reader);
}

static void try_stream_response(WireReader *reader, WireWriter *writer)
{
    StreamResponse response;
    if (stream_response_get(reader, headers, &response))
        return;
    stream_response_put(&response, writer);
    check_same(writer, reader);
}

static void try_host_port(WireReader *reader, WireWriter *writer)
{
    HostPort host = {0};
    if (host_port_get(reader, &host))
        return;
    host_port_put(&host, writer);
    check_same(writer, reader);
    mem_free(host.host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(WireReader *, WireWriter *) = {
        try_clerk_setup,        try_clerk_load,   try_clerk_prune,      try_clerk_rows,    try_clerk_done,
        try_gate_setup,         try_gate_source,  try_run_env,          try_lease_record,  try_tunnel,
        try_tunnel_refused,     try_keeper_setup, try_keeper_source,    try_token_ref,     try_keeper_token,
        try_keeper_run,         try_run_source,   try_run_refusal,      try_run_limits,    try_run_output,
        try_run_output_refused, try_run_end,      try_run_loaded,       try_stream_refuse, try_stream_request,
        try_stream_response,    try_host_port,    try_stream_lease_ask, try_run_limit,     try_run_refused,
        try_clerk_run,          try_run_closed,   try_clerk_seal,       try_run_seen,
    };
    static unsigned char room[IPC_MAX_RECORD];
    if (size < 1 || size > IPC_MAX_PAYLOAD)
        return 0;
    WireReader reader = WIRE_READER(data + 1, size - 1);
    WireWriter writer = WIRE_WRITER(room);
    tries[data[0] % COUNT_OF(tries)](&reader, &writer);
    return 0;
}
