/* The table of records: who may send what to whom, when, how long, with how many descriptors. See record.h.
 */
#include "ipc/record.h"

#define S    IPC_SUPERVISOR
#define G    IPC_GATE
#define K    IPC_KEEPER
#define C    IPC_CLERK
#define R    IPC_RUNNER
#define ANY  (IPC_SETUP | IPC_OPEN | IPC_ENDING)
#define LIVE (IPC_OPEN | IPC_ENDING)
#define FULL IPC_MAX_PAYLOAD
#define TEXT 4096

static const IpcRule rules[] = {
    [IPC_KEEPER_SETUP] = {IPC_KEEPER_SETUP, "keeper-setup", S, K, IPC_SETUP, FULL, 3, 6},
    [IPC_KEEPER_SOURCE] = {IPC_KEEPER_SOURCE, "keeper-source", S, K, IPC_SETUP, FULL, 0, 1},
    [IPC_KEEPER_FILE] = {IPC_KEEPER_FILE, "keeper-file", S, K, IPC_SETUP | IPC_OPEN, 8192, 0, 1},
    [IPC_KEEPER_VAULT] = {IPC_KEEPER_VAULT, "keeper-vault", S, K, IPC_SETUP, FULL, 0, 0},
    [IPC_KEEPER_KUBERNETES] = {IPC_KEEPER_KUBERNETES, "keeper-kubernetes", S, K, IPC_SETUP, FULL, 0, 0},
    [IPC_KEEPER_POLICY] = {IPC_KEEPER_POLICY, "keeper-policy", S, K, IPC_SETUP, FULL, 0, 0},
    [IPC_KEEPER_START] = {IPC_KEEPER_START, "keeper-start", S, K, IPC_SETUP, 0, 0, 0},
    [IPC_KEEPER_RUN_OPEN] = {IPC_KEEPER_RUN_OPEN, "keeper-run-open", S, K, IPC_OPEN, FULL, 1, IPC_MAX_FDS},
    [IPC_KEEPER_RUN_CLOSE] = {IPC_KEEPER_RUN_CLOSE, "keeper-run-close", S, K, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_CREDENTIAL] = {IPC_KEEPER_CREDENTIAL, "keeper-credential", S, K, IPC_OPEN, FULL, 1, 1},
    [IPC_KEEPER_AUDIT] = {IPC_KEEPER_AUDIT, "keeper-audit", S, K, IPC_OPEN, TEXT, 1, 1},
    [IPC_STOP] = {IPC_STOP, "stop", S, K | G | C, ANY, 0, 0, 0},
    [IPC_KEEPER_READY] = {IPC_KEEPER_READY, "keeper-ready", K, S, IPC_SETUP, 0, 0, 0},
    [IPC_KEEPER_TOKEN] = {IPC_KEEPER_TOKEN, "keeper-token", K, S, ANY, TEXT, 0, 0},
    [IPC_KEEPER_FILE_WANTED] = {IPC_KEEPER_FILE_WANTED, "keeper-file-wanted", K, S, ANY, TEXT, 0, 0},
    [IPC_KEEPER_RUN_OPENED] = {IPC_KEEPER_RUN_OPENED, "keeper-run-opened", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_RUN_REFUSED] = {IPC_KEEPER_RUN_REFUSED, "keeper-run-refused", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_RUN_SOURCE] = {IPC_KEEPER_RUN_SOURCE, "keeper-run-source", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_RUN_REFUSAL] = {IPC_KEEPER_RUN_REFUSAL, "keeper-run-refusal", K, S, LIVE, 16384, 0, 0},
    [IPC_KEEPER_RUN_LIMIT] = {IPC_KEEPER_RUN_LIMIT, "keeper-run-limit", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_RUN_CLOSED] = {IPC_KEEPER_RUN_CLOSED, "keeper-run-closed", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_PING] = {IPC_KEEPER_PING, "keeper-ping", S, K, LIVE, 0, 0, 0},
    [IPC_KEEPER_PONG] = {IPC_KEEPER_PONG, "keeper-pong", K, S, LIVE, 0, 0, 0},
    [IPC_KEEPER_RUN_SEEN] = {IPC_KEEPER_RUN_SEEN, "keeper-run-seen", K, S, LIVE, FULL, 0, 0},
    [IPC_KEEPER_HOLD] = {IPC_KEEPER_HOLD, "keeper-hold", S, K, IPC_OPEN, TEXT, 0, 0},
    [IPC_KEEPER_READ] = {IPC_KEEPER_READ, "keeper-read", S, K, IPC_OPEN, TEXT, 0, 0},
    [IPC_KEEPER_GO_ON] = {IPC_KEEPER_GO_ON, "keeper-go-on", S, K, IPC_OPEN, TEXT, 0, 0},
    [IPC_KEEPER_HELD] = {IPC_KEEPER_HELD, "keeper-held", K, S, LIVE, TEXT, 0, 0},
    [IPC_KEEPER_WAS_READ] = {IPC_KEEPER_WAS_READ, "keeper-was-read", K, S, LIVE, TEXT, 0, 0},
    [IPC_FAULT] = {IPC_FAULT, "fault", K | G | C, S, ANY, TEXT, 0, 0},

    [IPC_GATE_SETUP] = {IPC_GATE_SETUP, "gate-setup", S, G, IPC_SETUP, FULL, 6, 6},
    [IPC_GATE_SOURCE] = {IPC_GATE_SOURCE, "gate-source", S, G, IPC_SETUP, FULL, 0, 0},
    [IPC_GATE_EGRESS] = {IPC_GATE_EGRESS, "gate-egress", S, G, IPC_SETUP, TEXT, 0, 0},
    [IPC_GATE_ENV] = {IPC_GATE_ENV, "gate-env", S, G, IPC_SETUP, FULL, 0, 0},
    [IPC_GATE_START] = {IPC_GATE_START, "gate-start", S, G, IPC_SETUP, 0, 0, 0},
    [IPC_GATE_READY] = {IPC_GATE_READY, "gate-ready", G, S, IPC_SETUP, 0, 0, 0},
    [IPC_GATE_FINISHED] = {IPC_GATE_FINISHED, "gate-finished", G, S, LIVE, TEXT, 0, 0},

    [IPC_CONNECTION] = {IPC_CONNECTION, "connection", G, K, IPC_OPEN, 0, 1, 1},
    [IPC_LEASES_WANTED] = {IPC_LEASES_WANTED, "leases-wanted", G, K, IPC_OPEN, 0, 0, 0},
    [IPC_TUNNEL_WANTED] = {IPC_TUNNEL_WANTED, "tunnel-wanted", G, K, IPC_OPEN, TEXT, 0, 0},
    [IPC_GATE_REFUSED] = {IPC_GATE_REFUSED, "gate-refused", G, K, IPC_OPEN, 16384, 0, 0},
    [IPC_LEASE] = {IPC_LEASE, "lease", K, G, IPC_OPEN, TEXT, 0, 0},
    [IPC_LEASES_END] = {IPC_LEASES_END, "leases-end", K, G, IPC_OPEN, 0, 0, 0},
    [IPC_TUNNEL_OPEN] = {IPC_TUNNEL_OPEN, "tunnel-open", K, G, IPC_OPEN, TEXT, 1, 1},
    [IPC_TUNNEL_REFUSED] = {IPC_TUNNEL_REFUSED, "tunnel-refused", K, G, IPC_OPEN, TEXT, 0, 0},

    [IPC_REQUEST] = {IPC_REQUEST, "request", G, K, IPC_OPEN, FULL, 0, 0},
    [IPC_BODY] = {IPC_BODY, "body", G, K, IPC_OPEN, FULL, 0, 0},
    [IPC_BODY_END] = {IPC_BODY_END, "body-end", G, K, IPC_OPEN, FULL, 0, 0},
    [IPC_LEASE_ASK] = {IPC_LEASE_ASK, "lease-ask", G, K, IPC_OPEN, TEXT, 0, 0},
    [IPC_CONTINUE] = {IPC_CONTINUE, "continue", K, G, IPC_OPEN, 0, 0, 0},
    [IPC_RESPONSE] = {IPC_RESPONSE, "response", K, G, IPC_OPEN, FULL, 0, 0},
    [IPC_DATA] = {IPC_DATA, "data", K, G, IPC_OPEN, FULL, 0, 0},
    [IPC_DATA_END] = {IPC_DATA_END, "data-end", K, G, IPC_OPEN, FULL, 0, 0},
    [IPC_ABORT] = {IPC_ABORT, "abort", K, G, IPC_OPEN, 0, 0, 0},
    [IPC_REFUSE] = {IPC_REFUSE, "refuse", K, G, IPC_OPEN, TEXT, 0, 0},

    [IPC_HELLO] = {IPC_HELLO, "hello", R, G, IPC_SETUP, TEXT, 0, 0},
    [IPC_OUTPUT] = {IPC_OUTPUT, "output", R | G, G | C, IPC_OPEN, 8192, 1, 1},
    [IPC_OUTPUT_REFUSED] = {IPC_OUTPUT_REFUSED, "output-refused", R | G, G | C, IPC_OPEN, 8192, 0, 0},
    [IPC_RUN_END] = {IPC_RUN_END, "run-end", R | G, G | C, IPC_OPEN, TEXT, 0, 0},
    [IPC_ENV] = {IPC_ENV, "env", G, R, IPC_SETUP, FULL, 0, 0},
    [IPC_CA] = {IPC_CA, "ca", G, R, IPC_SETUP, 16384, 0, 0},
    [IPC_ROOTS] = {IPC_ROOTS, "roots", G, R, IPC_SETUP, 0, 1, 1},
    [IPC_RUN_START] = {IPC_RUN_START, "run-start", G, R, IPC_SETUP, TEXT, 0, 0},
    [IPC_LOADED] = {IPC_LOADED, "loaded", C | G, G | R | S, LIVE, TEXT, 0, 0},
    [IPC_RUN_NOT] = {IPC_RUN_NOT, "run-not", G, R, IPC_SETUP, TEXT, 0, 0},

    [IPC_CLERK_SETUP] = {IPC_CLERK_SETUP, "clerk-setup", S, C, IPC_SETUP, FULL, 0, 1},
    [IPC_CLERK_LOAD] = {IPC_CLERK_LOAD, "clerk-load", S, C, IPC_OPEN, FULL, 1, 1},
    [IPC_CLERK_INGEST] = {IPC_CLERK_INGEST, "clerk-ingest", S, C, IPC_OPEN, FULL, 1, 1},
    [IPC_CLERK_RUN] = {IPC_CLERK_RUN, "clerk-run", S, C, IPC_OPEN, FULL, 0, 0},
    [IPC_CLERK_STREAM] = {IPC_CLERK_STREAM, "clerk-stream", S, C, IPC_OPEN, TEXT, 0, 0},
    [IPC_CLERK_CHECK] = {IPC_CLERK_CHECK, "clerk-check", S, C, IPC_OPEN, 0, 0, 0},
    [IPC_CLERK_MIGRATE] = {IPC_CLERK_MIGRATE, "clerk-migrate", S, C, IPC_OPEN, 0, 0, 0},
    [IPC_CLERK_COUNT] = {IPC_CLERK_COUNT, "clerk-count", S, C, IPC_OPEN, 0, 0, 0},
    [IPC_CLERK_PRUNE] = {IPC_CLERK_PRUNE, "clerk-prune", S, C, IPC_OPEN, TEXT, 0, 0},
    [IPC_CLERK_SCHEMA] = {IPC_CLERK_SCHEMA, "clerk-schema", S, C, IPC_OPEN, 0, 0, 0},
    [IPC_CLERK_SEAL] = {IPC_CLERK_SEAL, "clerk-seal", S, C, IPC_OPEN, TEXT, 0, 0},
    [IPC_CLERK_SEALS] = {IPC_CLERK_SEALS, "clerk-seals", S, C, IPC_OPEN, TEXT, 0, 0},
    [IPC_CLERK_STREAM_IS] = {IPC_CLERK_STREAM_IS, "clerk-stream-is", C, S, LIVE, TEXT, 0, 0},
    [IPC_CLERK_ROWS] = {IPC_CLERK_ROWS, "clerk-rows", C, S, LIVE, TEXT, 0, 0},
    [IPC_CLERK_TEXT] = {IPC_CLERK_TEXT, "clerk-text", C, S, LIVE, FULL, 0, 0},
    [IPC_CLERK_SEAL_IS] = {IPC_CLERK_SEAL_IS, "clerk-seal-is", C, S, LIVE, TEXT, 0, 0},
    [IPC_CLERK_DONE] = {IPC_CLERK_DONE, "clerk-done", C, S, LIVE, TEXT, 0, 0},
    [IPC_CREDENTIAL] = {IPC_CREDENTIAL, "credential", K, C, IPC_OPEN, FULL, 0, 0},
    [IPC_CREDENTIAL_FAULT] = {IPC_CREDENTIAL_FAULT, "credential-fault", K, C, IPC_OPEN, TEXT, 0, 0},
};

const IpcRule *ipc_rule(uint16_t type)
{
    return type < COUNT_OF(rules) && rules[type].type ? &rules[type] : NULL;
}

bool ipc_allowed(uint16_t type, IpcRole from, IpcRole to, IpcStage stage, size_t payload, size_t n_fd)
{
    const IpcRule *rule = ipc_rule(type);
    return rule && (rule->from & from) && (rule->to & to) && (rule->stages & stage) &&
           payload <= rule->max_payload && n_fd >= rule->min_fds && n_fd <= rule->max_fds;
}
