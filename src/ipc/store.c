/* Records that tell the keeper of tokens and of where they are kept. See keeper.h. */
#include "ipc/list.h"

#include <errno.h>

#define MAX_PATH 4096

static void put_mint(const Mint *mint, WireWriter *wire)
{
    wire_put_text(wire, mint->url);
    wire_put_text(wire, mint->id);
    wire_put_text(wire, mint->account);
    wire_put_text(wire, mint->scope);
    wire_put_text(wire, mint->ca_file);
    wire_put_text(wire, mint->connect_to);
    wire_put_strings(wire, mint->list, mint->n_list);
    wire_put_u8(wire, mint->assertion);
    wire_put_u32(wire, mint->life);
    token_ref_put(&mint->secret, wire);
}

void token_ref_put(const TokenRef *ref, WireWriter *wire)
{
    wire_put_u8(wire, (uint8_t)ref->kind);
    wire_put_text(wire, ref->name);
    wire_put_text(wire, ref->key);
    wire_put_text(wire, ref->space);
    wire_put_u32(wire, ref->version);
    wire_put_u32(wire, ref->wrap);
    wire_put_u8(wire, ref->mint != NULL);
    if (ref->mint)
        put_mint(ref->mint, wire);
}

/* All but the mint: what is minted with is not itself minted. */
static void read_plain_ref(WireReader *wire, TokenRef *ref, bool *ret_minted)
{
    uint8_t kind = wire_get_u8(wire);
    if (kind >= STORE_KINDS)
        wire->failed = true;
    *ref = (TokenRef){.kind = (StoreKind)kind};
    ref->name = wire_dup_text(wire, MAX_PATH);
    ref->key = wire_dup_text(wire, IPC_MAX_TEXT);
    ref->space = wire_dup_text(wire, IPC_MAX_TEXT);
    ref->version = wire_get_u32(wire);
    ref->wrap = wire_get_u32(wire);
    *ret_minted = wire_get_bool(wire);
}

static void read_mint(WireReader *wire, Mint *mint)
{
    bool minted = false;
    mint->url = wire_dup_text(wire, IPC_MAX_TEXT);
    mint->id = wire_dup_text(wire, IPC_MAX_TEXT);
    mint->account = wire_dup_text(wire, IPC_MAX_TEXT);
    mint->scope = wire_dup_text(wire, MAX_PATH);
    mint->ca_file = wire_dup_text(wire, MAX_PATH);
    mint->connect_to = wire_dup_text(wire, IPC_MAX_TEXT);
    wire_get_strings(wire, IPC_MAX_TEXT, &mint->list, &mint->n_list);
    mint->assertion = wire_get_bool(wire);
    mint->life = wire_get_u32(wire);
    read_plain_ref(wire, &mint->secret, &minted);
    if (minted)
        wire->failed = true;
}

void token_ref_read(WireReader *wire, TokenRef *ref)
{
    bool minted = false;
    read_plain_ref(wire, ref, &minted);
    if (!minted)
        return;
    ref->mint = MEM_NEW(Mint);
    read_mint(wire, ref->mint);
}

int token_ref_get(WireReader *wire, TokenRef *ret_ref)
{
    TokenRef ref;
    token_ref_read(wire, &ref);
    if (wire_finish(wire)) {
        token_ref_done(&ref);
        return -EBADMSG;
    }
    *ret_ref = ref;
    return 0;
}

static void put_life(const StoreLife *life, WireWriter *wire)
{
    wire_put_u64(wire, life->refresh);
    wire_put_u64(wire, life->max_stale);
    wire_put_u64(wire, life->spread == SPREAD_UNSAID ? 0 : life->spread);
}

static void get_life(WireReader *wire, StoreLife *life)
{
    life->refresh = wire_get_u64(wire);
    life->max_stale = wire_get_u64(wire);
    life->spread = wire_get_u64(wire);
    if (life->refresh == 0 || life->refresh > INT64_MAX / 4 || life->max_stale > INT64_MAX / 4 ||
        life->spread > INT64_MAX / 4)
        wire->failed = true;
}

void keeper_vault_put(const VaultConfig *vault, WireWriter *wire)
{
    wire_put_text(wire, vault->address);
    origin_put(&vault->origin, wire);
    wire_put_text(wire, vault->space);
    wire_put_text(wire, vault->ca_file);
    wire_put_text(wire, vault->cert_file);
    wire_put_text(wire, vault->key_file);
    wire_put_text(wire, vault->server_name);
    put_life(&vault->life, wire);
    wire_put_u8(wire, (uint8_t)vault->login);
    wire_put_text(wire, vault->mount);
    wire_put_text(wire, vault->role);
    wire_put_text(wire, vault->role_id);
    wire_put_text(wire, vault->audience);
    token_ref_put(&vault->secret, wire);
    wire_put_u8(wire, vault->wrapped);
}

int keeper_vault_get(WireReader *wire, VaultConfig *ret_vault)
{
    VaultConfig vault = {.configured = true, .address = wire_dup_text(wire, IPC_MAX_TEXT)};
    origin_get(wire, &vault.origin);
    vault.space = wire_dup_text(wire, IPC_MAX_TEXT);
    vault.ca_file = wire_dup_text(wire, MAX_PATH);
    vault.cert_file = wire_dup_text(wire, MAX_PATH);
    vault.key_file = wire_dup_text(wire, MAX_PATH);
    vault.server_name = wire_dup_text(wire, 253);
    get_life(wire, &vault.life);
    uint8_t login = wire_get_u8(wire);
    if (login > VAULT_LOGIN_CERT)
        wire->failed = true;
    vault.login = (VaultLogin)login;
    vault.mount = wire_dup_text(wire, IPC_MAX_TEXT);
    vault.role = wire_dup_text(wire, IPC_MAX_TEXT);
    vault.role_id = wire_dup_text(wire, IPC_MAX_TEXT);
    vault.audience = wire_dup_text(wire, IPC_MAX_TEXT);
    token_ref_read(wire, &vault.secret);
    vault.wrapped = wire_get_bool(wire);
    if (wire_finish(wire)) {
        vault_config_done(&vault);
        return -EBADMSG;
    }
    *ret_vault = vault;
    return 0;
}

void keeper_kubernetes_put(const KubernetesConfig *kubernetes, WireWriter *wire)
{
    origin_put(&kubernetes->origin, wire);
    wire_put_text(wire, kubernetes->space);
    wire_put_text(wire, kubernetes->ca_file);
    wire_put_text(wire, kubernetes->cert_file);
    wire_put_text(wire, kubernetes->key_file);
    wire_put_text(wire, kubernetes->server_name);
    token_ref_put(&kubernetes->token, wire);
    put_life(&kubernetes->life, wire);
}

int keeper_kubernetes_get(WireReader *wire, KubernetesConfig *ret_kubernetes)
{
    KubernetesConfig kubernetes = {.configured = true};
    origin_get(wire, &kubernetes.origin);
    kubernetes.space = wire_dup_text(wire, 253);
    kubernetes.ca_file = wire_dup_text(wire, MAX_PATH);
    kubernetes.cert_file = wire_dup_text(wire, MAX_PATH);
    kubernetes.key_file = wire_dup_text(wire, MAX_PATH);
    kubernetes.server_name = wire_dup_text(wire, 253);
    token_ref_read(wire, &kubernetes.token);
    get_life(wire, &kubernetes.life);
    if (wire_finish(wire)) {
        kubernetes_config_done(&kubernetes);
        return -EBADMSG;
    }
    *ret_kubernetes = kubernetes;
    return 0;
}

void keeper_file_put(const KeeperFile *file, WireWriter *wire)
{
    wire_put_u32(wire, file->index);
    wire_put_u32(wire, file->error);
    wire_put_text(wire, file->path);
}

int keeper_file_get(WireReader *wire, KeeperFile *ret_file)
{
    KeeperFile file = {.index = wire_get_u32(wire), .error = wire_get_u32(wire)};
    file.path = wire_dup_text(wire, MAX_PATH);
    if (file.index >= IPC_MAX_FILES || file.error > 4095)
        wire->failed = true;
    if (wire_finish(wire)) {
        mem_free(file.path);
        return -EBADMSG;
    }
    *ret_file = file;
    return 0;
}

void keeper_token_put(const KeeperToken *token, WireWriter *wire)
{
    wire_put_u32(wire, token->source);
    wire_put_u8(wire, token->found);
    wire_put_text(wire, token->sentence);
    wire_put_text(wire, token->store);
    wire_put_text(wire, token->version);
    wire_put_i64(wire, token->fetched);
    wire_put_i64(wire, token->expires);
    wire_put_u32(wire, token->renewed);
    wire_put_u64(wire, token->calls);
}

int keeper_token_get(WireReader *wire, KeeperToken *ret_token)
{
    KeeperToken token = {.source = wire_get_u32(wire), .found = wire_get_bool(wire)};
    WIRE_GET_ARRAY(wire, token.sentence);
    WIRE_GET_ARRAY(wire, token.store);
    WIRE_GET_ARRAY(wire, token.version);
    token.fetched = wire_get_i64(wire);
    token.expires = wire_get_i64(wire);
    token.renewed = wire_get_u32(wire);
    token.calls = wire_get_u64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_token = token;
    return r;
}
