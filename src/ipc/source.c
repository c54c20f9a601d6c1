/* Records that carry set-up to keeper and gate: the setup itself, sources, tokens. See keeper.h and gate.h.
 */
#include "ipc/gate.h"
#include "ipc/list.h"

#include <errno.h>

void keeper_setup_put(const KeeperSetup *setup, WireWriter *wire)
{
    wire_put_u8(wire, setup->has_audit_tail);
    wire_put_u8(wire, setup->audit_optional);
    wire_put_u8(wire, setup->has_keyring);
    wire_put_u8(wire, setup->has_key);
    wire_put_u8(wire, setup->key_is_passphrase);
    wire_put_u8(wire, setup->sandbox_optional);
    wire_put_u64(wire, setup->seed);
    wire_put_u64(wire, setup->patience);
    wire_put_text(wire, setup->audit_before);
    wire_put_text(wire, setup->audit_chain);
    wire_put_text(wire, setup->audit_pod);
    wire_put_text(wire, setup->keyring_path);
    wire_put_text(wire, setup->keyring_key);
    wire_put_text(wire, setup->proxy);
    wire_put_strings(wire, setup->no_proxy, setup->n_no_proxy);
    wire_put_u32(wire, (uint32_t)setup->n_egress_port);
    for (size_t i = 0; i < setup->n_egress_port; i++)
        wire_put_u16(wire, setup->egress_port[i]);
}

int keeper_setup_get(WireReader *wire, KeeperSetup *ret_setup)
{
    KeeperSetup setup = {
        .has_audit_tail = wire_get_bool(wire),
        .audit_optional = wire_get_bool(wire),
        .has_keyring = wire_get_bool(wire),
        .has_key = wire_get_bool(wire),
        .key_is_passphrase = wire_get_bool(wire),
        .sandbox_optional = wire_get_bool(wire),
        .seed = wire_get_u64(wire),
        .patience = wire_get_u64(wire),
    };
    setup.audit_before = wire_dup_text(wire, 255);
    setup.audit_chain = wire_dup_text(wire, 16);
    setup.audit_pod = wire_dup_text(wire, 255);
    setup.keyring_path = wire_dup_text(wire, 4096);
    setup.keyring_key = wire_dup_text(wire, 4096);
    setup.proxy = wire_dup_text(wire, IPC_MAX_TEXT);
    wire_get_strings(wire, 253, &setup.no_proxy, &setup.n_no_proxy);
    setup.n_egress_port = wire_get_count(wire, IPC_MAX_PORTS);
    setup.egress_port = MEM_NEW_ARRAY(uint16_t, setup.n_egress_port);
    for (size_t i = 0; i < setup.n_egress_port; i++)
        setup.egress_port[i] = wire_get_u16(wire);
    if (wire_finish(wire)) {
        keeper_setup_done(&setup);
        return -EBADMSG;
    }
    *ret_setup = setup;
    return 0;
}

void keeper_setup_done(KeeperSetup *setup)
{
    mem_free(setup->audit_before);
    mem_free(setup->audit_chain);
    mem_free(setup->audit_pod);
    mem_free(setup->keyring_path);
    mem_free(setup->keyring_key);
    mem_free(setup->proxy);
    mem_free_strings(setup->no_proxy, setup->n_no_proxy);
    mem_free(setup->egress_port);
    *setup = (KeeperSetup){0};
}

void origin_put(const Origin *origin, WireWriter *wire)
{
    wire_put_u8(wire, origin->tls);
    wire_put_text(wire, origin->host);
    wire_put_u16(wire, origin->port);
    wire_put_text(wire, origin->base);
}

void origin_get(WireReader *wire, Origin *origin)
{
    origin->tls = wire_get_bool(wire);
    origin->host = wire_dup_text(wire, 253);
    origin->port = wire_get_u16(wire);
    origin->base = wire_dup_text(wire, IPC_MAX_TEXT);
}

/* What keeper and gate both need of a source. */
static void put_source_common(const Source *source, WireWriter *wire)
{
    wire_put_text(wire, source->name);
    origin_put(&source->api, wire);
    wire_put_u32(wire, (uint32_t)source->n_other);
    for (size_t i = 0; i < source->n_other; i++) {
        wire_put_u8(wire, source->other[i].use);
        origin_put(&source->other[i].origin, wire);
    }
    wire_put_text(wire, source->graphql_path);
    wire_put_u32(wire, source->graphql_host);
    wire_put_u8(wire, source->encoded_slash);
    wire_put_u8(wire, source->auth.scheme);
    wire_put_text(wire, source->auth.user);
    wire_put_text(wire, source->auth.header);
}

static void get_hosts(WireReader *wire, Source *source)
{
    source->n_other = wire_get_count(wire, CONFIG_MAX_HOSTS - 1);
    source->other = MEM_NEW_ARRAY(SourceHost, source->n_other);
    for (size_t i = 0; i < source->n_other; i++) {
        uint8_t use = wire_get_u8(wire);
        if (use == HOST_API || use > HOST_ARTIFACT)
            wire->failed = true;
        source->other[i].use = (HostUse)use;
        origin_get(wire, &source->other[i].origin);
    }
    source->graphql_path = wire_dup_text(wire, IPC_MAX_TEXT);
    source->graphql_host = wire_get_u32(wire);
    if (source->graphql_host > source->n_other)
        wire->failed = true;
}

static void get_source_common(WireReader *wire, Source *source)
{
    source->name = wire_dup_text(wire, 63);
    origin_get(wire, &source->api);
    get_hosts(wire, source);
    source->encoded_slash = wire_get_bool(wire);
    uint8_t scheme = wire_get_u8(wire);
    if (scheme > AUTH_HEADER)
        wire->failed = true;
    source->auth.scheme = (AuthScheme)scheme;
    source->auth.user = wire_dup_text(wire, IPC_MAX_TEXT);
    source->auth.header = wire_dup_text(wire, IPC_MAX_TEXT);
}

static void source_done(Source *source)
{
    mem_free(source->api.host);
    mem_free(source->api.base);
    for (size_t i = 0; i < source->n_other; i++) {
        mem_free(source->other[i].origin.host);
        mem_free(source->other[i].origin.base);
    }
    mem_free(source->other);
    mem_free(source->name);
    mem_free(source->graphql_path);
    mem_free(source->auth.user);
    mem_free(source->auth.header);
    mem_free(source->connect_to);
    mem_free(source->ca_file);
    mem_free(source->allow_private);
    token_ref_done(&source->token);
    mem_free_strings(source->token_env, source->n_token_env);
    mem_free_strings(source->base_env, source->n_base_env);
    *source = (Source){0};
}

void keeper_source_put(const KeeperSource *source, WireWriter *wire)
{
    const Source *s = &source->source;
    put_source_common(s, wire);
    token_ref_put(&s->token, wire);
    wire_put_text(wire, s->connect_to);
    wire_put_text(wire, s->ca_file);
    wire_put_u32(wire, (uint32_t)s->n_allow_private);
    for (size_t i = 0; i < s->n_allow_private; i++) {
        wire_put_slice(wire, (Slice){(const char *)s->allow_private[i].address, 16});
        wire_put_u8(wire, s->allow_private[i].bits);
    }
    wire_put_u64(wire, s->per_kilosecond);
    wire_put_u64(wire, s->reserve);
    wire_put_u32(wire, s->reserve_percent);
    wire_put_u8(wire, source->has_ca);
    wire_put_u8(wire, source->used);
}

int keeper_source_get(WireReader *wire, KeeperSource *ret_source)
{
    KeeperSource source = {0};
    Source *s = &source.source;
    get_source_common(wire, s);
    token_ref_read(wire, &s->token);
    s->connect_to = wire_dup_text(wire, IPC_MAX_TEXT);
    s->ca_file = wire_dup_text(wire, 4096);
    s->n_allow_private = wire_get_count(wire, CONFIG_MAX_LIST);
    s->allow_private = MEM_NEW_ARRAY(Cidr, s->n_allow_private);
    for (size_t i = 0; i < s->n_allow_private; i++) {
        Slice address = wire_get_slice(wire, 16);
        if (address.len == 16)
            memcpy(s->allow_private[i].address, address.ptr, 16);
        else
            wire->failed = true;
        s->allow_private[i].bits = wire_get_u8(wire);
        if (s->allow_private[i].bits > 128)
            wire->failed = true;
    }
    s->per_kilosecond = wire_get_u64(wire);
    s->reserve = wire_get_u64(wire);
    s->reserve_percent = wire_get_u32(wire);
    source.has_ca = wire_get_bool(wire);
    source.used = wire_get_bool(wire);
    if (wire_finish(wire)) {
        keeper_source_done(&source);
        return -EBADMSG;
    }
    *ret_source = source;
    return 0;
}

void keeper_source_done(KeeperSource *source)
{
    source_done(&source->source);
}

void gate_source_put(const GateSource *source, WireWriter *wire)
{
    wire_put_u32(wire, source->index);
    wire_put_u32(wire, source->hosts);
    put_source_common(&source->source, wire);
    wire_put_strings(wire, source->source.token_env, source->source.n_token_env);
    wire_put_strings(wire, source->source.base_env, source->source.n_base_env);
    wire_put_text(wire, source->token_file);
}

int gate_source_get(WireReader *wire, GateSource *ret_source)
{
    GateSource source = {.index = wire_get_u32(wire)};
    source.hosts = wire_get_u32(wire);
    get_source_common(wire, &source.source);
    wire_get_strings(wire, 255, &source.source.token_env, &source.source.n_token_env);
    wire_get_strings(wire, 255, &source.source.base_env, &source.source.n_base_env);
    WIRE_GET_ARRAY(wire, source.token_file);
    if (wire_finish(wire)) {
        gate_source_done(&source);
        return -EBADMSG;
    }
    *ret_source = source;
    return 0;
}

void gate_source_done(GateSource *source)
{
    source_done(&source->source);
}
