/* What the supervisor tells a gate, and what follows from it. See gate.h. */
#include "base/mem.h"
#include "gate/client.h"
#include "gate/gate.h"

#include <errno.h>
#include <sodium.h>

#define AFTERWARDS                                                                                           \
    (3600 * (int64_t)1000000) /* certificates outlive the run's time limit by this: outputs, clocks */

static int take_setup(Gate *gate, IpcRecord *record, WireReader *wire)
{
    if (gate->setup.run)
        return -EPROTO;
    int r = gate_setup_get(wire, &gate->setup);
    for (size_t i = 0; !r && i < GATE_FDS; i++)
        gate->fd[i] = ipc_record_take(record, i);
    return r;
}

static int take_source(Gate *gate, WireReader *wire)
{
    RunSourceInfo source = {.lease_id = ""};
    int r = gate->n_source < CONFIG_MAX_SOURCES ? gate_source_get(wire, &source.record) : -EPROTO;
    if (r)
        return r;
    links_of_source(&source);
    MEM_PUSH(gate->source, gate->n_source, source);
    return 0;
}

static int take_egress(Gate *gate, WireReader *wire)
{
    HostPort place;
    int r = gate->n_egress < CONFIG_MAX_LIST ? host_port_get(wire, &place) : -EPROTO;
    if (!r)
        MEM_PUSH(gate->egress, gate->n_egress, place);
    return r;
}

static int take_env(Gate *gate, WireReader *wire)
{
    RunEnv env;
    int r = gate->n_env < GATE_MAX_ENV ? run_env_get(wire, &env) : -EPROTO;
    if (!r)
        MEM_PUSH(gate->env, gate->n_env,
                 (EnvEntry){.name = mem_dup(env.name.ptr, env.name.len),
                            .value = mem_dup(env.value.ptr, env.value.len),
                            .source = env.source});
    return r;
}

static int take(Gate *gate, IpcRecord *record, bool *ret_start)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    switch (record->type) {
    case IPC_GATE_SETUP:
        return take_setup(gate, record, &wire);
    case IPC_GATE_SOURCE:
        return take_source(gate, &wire);
    case IPC_GATE_EGRESS:
        return take_egress(gate, &wire);
    case IPC_GATE_ENV:
        return take_env(gate, &wire);
    case IPC_GATE_START:
        *ret_start = true;
        return gate->setup.run ? 0 : -EPROTO;
    default:
        return -EPROTO;
    }
}

static int read_records(Gate *gate, Fault *fault)
{
    bool start = false;
    while (!start) {
        IpcRecord record;
        int r = ipc_recv(&gate->supervisor, gate->record, &record);
        if (!r) {
            r = take(gate, &record, &start);
            ipc_record_close(&record);
        }
        if (r)
            return fault_set(fault, r,
                             "the supervisor's set-up of the gate is broken (%s); is purser installed whole?",
                             strerror(-r));
    }
    return 0;
}

static void make_proxy_key(Gate *gate)
{
    unsigned char key[32];
    randombytes_buf(key, sizeof(key));
    sodium_bin2base64(gate->proxy_key, sizeof(gate->proxy_key), key, sizeof(key),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(key, sizeof(key));
}

int gate_setup_read(Gate *gate, Fault *fault)
{
    RunCa ca;
    int r = read_records(gate, fault);
    if (r)
        return r;
    make_proxy_key(gate);
    host_list_init(&gate->hosts, gate->source, gate->n_source);
    r = run_ca_make(&gate->hosts, gate->setup.run, (int64_t)gate->setup.time_limit + AFTERWARDS, &ca, NULL,
                    fault);
    if (r)
        return r;
    gate->ca_pem = BUF_INIT(RUN_CA_MAX_PEM);
    r = run_ca_contexts(&ca, &gate->hosts, fault);
    if (!r && run_ca_pem(&ca, &gate->ca_pem))
        r = fault_set(fault, -EFBIG, "the run's certificate names more hosts than fit: %zu", gate->hosts.n);
    run_ca_done(&ca);
    return r;
}
