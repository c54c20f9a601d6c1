/* What the supervisor tells a gate (one gate per run), and what gate and keeper say on their control channel.
 * Conventions as in ipc/keeper.h.
 */
#pragma once

#include "ipc/keeper.h"

/* Descriptors, in this order: [0] TCP listener on loopback, [1] unix stream listener (HTTP), [2] unix
 * seqpacket listener (the runner; or its connection), [3] the gate's end of its keeper channel, [4] the
 * gate's end of the results channel (to a clerk), [5] the public roots (PEM, read-only). */
typedef struct GateSetup {
    char *run;
    char *retriever;
    uint32_t uid;               /* the runner's; a peer with another one is refused */
    uint16_t port;              /* of [0] */
    char *socket_path;          /* of [1], as the script sees it */
    char *since, *until;        /* PURSER_SINCE, PURSER_UNTIL: RFC 3339 */
    uint64_t time_limit, grace; /* us; passed on to the runner */
    uint64_t output_bytes;
    uint32_t output_files;
    bool sandbox_optional;
    bool runner_connected; /* [2] is no listener: the runner, in a container of its own, has come already */
} GateSetup;

void gate_setup_put(const GateSetup *setup, WireWriter *wire);
int gate_setup_get(WireReader *wire, GateSetup *ret_setup) MUST_USE;
void gate_setup_done(GateSetup *setup);

/* A source that this run may use: its index in the configuration and what a gate needs of it: name, its
 * hosts, graphql, auth.header, token_env, base_env. */
typedef struct GateSource {
    uint32_t index;
    uint32_t hosts; /* bit set of its hosts that this run may reach: bit 0 is api's */
    Source source;
    char token_file[256]; /* path at which its token is revealed to the script; "" where it is not */
} GateSource;

void gate_source_put(const GateSource *source, WireWriter *wire);
int gate_source_get(WireReader *wire, GateSource *ret_source) MUST_USE;
void gate_source_done(GateSource *source);

void host_port_put(const HostPort *host, WireWriter *wire);
int host_port_get(WireReader *wire, HostPort *ret_host) MUST_USE;

/* A variable for the script; source >= 0: its value is that source's lease. */
typedef struct RunEnv {
    Slice name, value; /* point into the record */
    int32_t source;
} RunEnv;

void run_env_put(const RunEnv *env, WireWriter *wire);
int run_env_get(WireReader *wire, RunEnv *ret_env) MUST_USE;

/* keeper -> gate */
typedef struct LeaseRecord {
    uint32_t source; /* index */
    Slice text;      /* points into the record */
} LeaseRecord;

void lease_record_put(const LeaseRecord *lease, WireWriter *wire);
int lease_record_get(WireReader *wire, LeaseRecord *ret_lease) MUST_USE;

/* An egress host to be dialled by the keeper; id is the gate's own, given back with the answer. */
typedef struct TunnelRecord {
    uint32_t id;
    char host[254];
    uint16_t port;
} TunnelRecord;

void tunnel_put(const TunnelRecord *tunnel, WireWriter *wire);
int tunnel_get(WireReader *wire, TunnelRecord *ret_tunnel) MUST_USE;

/* Also the payload of IPC_TUNNEL_OPEN: then only id counts. */
typedef struct TunnelRefused {
    uint32_t id;
    uint16_t status; /* 403, 502, 504 */
    char code[32];
    char sentence[768];
} TunnelRefused;

void tunnel_refused_put(const TunnelRefused *refused, WireWriter *wire);
int tunnel_refused_get(WireReader *wire, TunnelRefused *ret_refused) MUST_USE;
