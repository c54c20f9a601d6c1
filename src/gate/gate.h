/* The gate of one run: everything that its parts share. One process, one thread, one run; it holds no secret
 * but the proxy key, which opens nothing else, and the leaf key of its own CA.
 */
#pragma once

#include "gate/conn.h"
#include "gate/hosts.h"
#include "gate/results.h"
#include "gate/run-ca.h"
#include "gate/runner.h"
#include "ipc/gate.h"

#define GATE_MAX_CLIENTS 256 /* further ones wait in the backlog */
#define GATE_MAX_ENV     512
#define GATE_KEY_LEN     43 /* 32 bytes in base64url */

enum { GATE_FD_TCP, GATE_FD_UNIX, GATE_FD_RUNNER, GATE_FD_KEEPER, GATE_FD_RESULTS, GATE_FD_ROOTS, GATE_FDS };

struct Client;

typedef struct Gate {
    struct event_base *base;
    IpcPeer supervisor, keeper;
    GateSetup setup;
    int fd[GATE_FDS];
    RunSourceInfo *source;
    size_t n_source;
    HostPort *egress;
    size_t n_egress;
    EnvEntry *env;
    size_t n_env;
    HostList hosts;
    Buf ca_pem;
    char proxy_key[GATE_KEY_LEN + 1];
    struct event *supervisor_event, *keeper_event, *tcp_event, *unix_event, *tick;
    struct Client *client[GATE_MAX_CLIENTS];
    size_t n_client;
    uint32_t last_tunnel;
    Runner runner;
    Results results;
    int exit_status;
    void *record; /* IPC_MAX_RECORD bytes, for whichever channel is being read */
} Gate;

/* Reads the set-up from the supervisor until START, and makes what follows from it: hosts, CA, proxy key. */
int gate_setup_read(Gate *gate, Fault *fault) MUST_USE;

/* Ends the loop; `sentence`: what the supervisor is told, NULL for an end as it should be. */
void gate_end(Gate *gate, const char *sentence);
