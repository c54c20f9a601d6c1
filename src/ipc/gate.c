/* Records of a gate: its set-up, leases, tunnels. See gate.h. */
#include "ipc/gate.h"

#include "ipc/list.h"

#include <errno.h>

void gate_setup_put(const GateSetup *setup, WireWriter *wire)
{
    wire_put_text(wire, setup->run);
    wire_put_text(wire, setup->retriever);
    wire_put_u32(wire, setup->uid);
    wire_put_u16(wire, setup->port);
    wire_put_text(wire, setup->socket_path);
    wire_put_text(wire, setup->since);
    wire_put_text(wire, setup->until);
    wire_put_u64(wire, setup->time_limit);
    wire_put_u64(wire, setup->grace);
    wire_put_u64(wire, setup->output_bytes);
    wire_put_u32(wire, setup->output_files);
    wire_put_u8(wire, setup->sandbox_optional);
    wire_put_u8(wire, setup->runner_connected);
}

int gate_setup_get(WireReader *wire, GateSetup *ret_setup)
{
    GateSetup setup = {.run = wire_dup_text(wire, 63)};
    setup.retriever = wire_dup_text(wire, 63);
    setup.uid = wire_get_u32(wire);
    setup.port = wire_get_u16(wire);
    setup.socket_path = wire_dup_text(wire, 4096);
    setup.since = wire_dup_text(wire, 63);
    setup.until = wire_dup_text(wire, 63);
    setup.time_limit = wire_get_u64(wire);
    setup.grace = wire_get_u64(wire);
    setup.output_bytes = wire_get_u64(wire);
    setup.output_files = wire_get_u32(wire);
    setup.sandbox_optional = wire_get_bool(wire);
    setup.runner_connected = wire_get_bool(wire);
    if (wire_finish(wire)) {
        gate_setup_done(&setup);
        return -EBADMSG;
    }
    *ret_setup = setup;
    return 0;
}

void gate_setup_done(GateSetup *setup)
{
    mem_free(setup->run);
    mem_free(setup->retriever);
    mem_free(setup->socket_path);
    mem_free(setup->since);
    mem_free(setup->until);
    *setup = (GateSetup){0};
}

void run_env_put(const RunEnv *env, WireWriter *wire)
{
    wire_put_slice(wire, env->name);
    wire_put_slice(wire, env->value);
    wire_put_u32(wire, (uint32_t)env->source);
}

int run_env_get(WireReader *wire, RunEnv *ret_env)
{
    RunEnv env = {.name = wire_get_slice(wire, 255), .value = wire_get_slice(wire, 32768)};
    env.source = (int32_t)wire_get_u32(wire);
    int r = wire_finish(wire);
    if (!r && (env.name.len == 0 || memchr(env.name.ptr, '=', env.name.len) ||
               memchr(env.name.ptr, '\0', env.name.len) ||
               (env.value.len && memchr(env.value.ptr, '\0', env.value.len))))
        r = -EBADMSG;
    if (!r)
        *ret_env = env;
    return r;
}

void lease_record_put(const LeaseRecord *lease, WireWriter *wire)
{
    wire_put_u32(wire, lease->source);
    wire_put_slice(wire, lease->text);
}

int lease_record_get(WireReader *wire, LeaseRecord *ret_lease)
{
    LeaseRecord lease = {.source = wire_get_u32(wire), .text = wire_get_slice(wire, 2048)};
    int r = wire_finish(wire);
    if (!r)
        *ret_lease = lease;
    return r;
}

void tunnel_put(const TunnelRecord *tunnel, WireWriter *wire)
{
    wire_put_u32(wire, tunnel->id);
    wire_put_text(wire, tunnel->host);
    wire_put_u16(wire, tunnel->port);
}

int tunnel_get(WireReader *wire, TunnelRecord *ret_tunnel)
{
    TunnelRecord tunnel = {.id = wire_get_u32(wire)};
    WIRE_GET_ARRAY(wire, tunnel.host);
    tunnel.port = wire_get_u16(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_tunnel = tunnel;
    return r;
}

void tunnel_refused_put(const TunnelRefused *refused, WireWriter *wire)
{
    wire_put_u32(wire, refused->id);
    wire_put_u16(wire, refused->status);
    wire_put_text(wire, refused->code);
    wire_put_text(wire, refused->sentence);
}

int tunnel_refused_get(WireReader *wire, TunnelRefused *ret_refused)
{
    TunnelRefused refused = {.id = wire_get_u32(wire), .status = wire_get_u16(wire)};
    WIRE_GET_ARRAY(wire, refused.code);
    WIRE_GET_ARRAY(wire, refused.sentence);
    int r = wire_finish(wire);
    if (!r)
        *ret_refused = refused;
    return r;
}
