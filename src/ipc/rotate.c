/* What purser tells purser-rotate. See rotate.h. */
#include "ipc/rotate.h"

#include "ipc/list.h"

#include <errno.h>

#define MAX_PATH 4096

static void put_rotation(const Rotation *rotation, WireWriter *wire)
{
    wire_put_text(wire, rotation->account);
    wire_put_text(wire, rotation->identity);
    wire_put_text(wire, rotation->scopes);
    wire_put_text(wire, rotation->scopes_header);
    wire_put_text(wire, rotation->expires);
    wire_put_text(wire, rotation->retire);
    wire_put_text(wire, rotation->renew);
    wire_put_text(wire, rotation->renew_token);
    wire_put_text(wire, rotation->renew_expires);
    wire_put_text(wire, rotation->renew_scopes);
    wire_put_u8(wire, rotation->renew_overlaps);
}

void rotate_setup_put(const RotateSetup *setup, WireWriter *wire)
{
    unsigned char *room = MEM_NEW_ARRAY(unsigned char, ROTATE_MAX_SOURCE);
    WireWriter source = {.data = room, .room = ROTATE_MAX_SOURCE}, vault = source, kubernetes = source;
    wire_put_u8(wire, (uint8_t)setup->act);
    wire_put_u8(wire, setup->json);
    wire_put_u8(wire, setup->from_stdin);
    wire_put_u8(wire, setup->allow_wider);
    wire_put_u8(wire, setup->allow_other);
    wire_put_u8(wire, setup->app);
    if (setup->app)
        token_ref_put(&setup->minted, wire);
    wire_put_u8(wire, setup->from_provider);
    wire_put_u8(wire, setup->accept_loss);
    wire_put_u64(wire, setup->life);
    wire_put_u8(wire, setup->goes_on);
    wire_put_u8(wire, setup->sandbox_optional);
    wire_put_u8(wire, setup->unattended);
    wire_put_u8(wire, setup->tells);
    wire_put_strings(wire, setup->argv, setup->n_argv);
    wire_put_text(wire, setup->state);
    wire_put_text(wire, setup->audit_key);
    wire_put_text(wire, setup->provider);
    wire_put_text(wire, setup->probe);
    put_rotation(&setup->rotation, wire);
    wire_put_text(wire, setup->keyring);
    wire_put_text(wire, setup->key_file);
    wire_put_u8(wire, setup->passphrase);
    wire_put_text(wire, setup->roots);
    wire_put_text(wire, setup->proxy);
    wire_put_strings(wire, setup->no_proxy, setup->n_no_proxy);
    wire_put_u64(wire, setup->interval);
    wire_put_u64(wire, setup->revealed);
    wire_put_u8(wire, setup->wait_said);
    wire_put_u64(wire, setup->older_than);
    wire_put_u8(wire, setup->shared);
    wire_put_u8(wire, setup->database);
    wire_put_u8(wire, setup->approle);
    wire_put_text(wire, setup->vault_token);
    wire_put_u8(wire, setup->vault_auth);
    wire_put_u8(wire, setup->vault.configured);
    if (setup->vault.configured)
        keeper_vault_put(&setup->vault, &vault);
    wire_put_slice(wire, (Slice){(const char *)vault.data, vault.len});
    wire->failed |= vault.failed;
    wire_put_u8(wire, setup->kubernetes.configured);
    if (setup->kubernetes.configured)
        keeper_kubernetes_put(&setup->kubernetes, &kubernetes);
    wire_put_slice(wire, (Slice){(const char *)kubernetes.data, kubernetes.len});
    wire->failed |= kubernetes.failed;
    keeper_source_put(&setup->source, &source);
    wire_put_slice(wire, (Slice){(const char *)source.data, source.len});
    wire->failed |= source.failed;
    mem_free(room);
}

static void get_rotation(WireReader *wire, Rotation *rotation)
{
    rotation->account = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->identity = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->scopes = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->scopes_header = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->expires = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->retire = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->renew = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->renew_token = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->renew_expires = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->renew_scopes = wire_dup_text(wire, IPC_MAX_TEXT);
    rotation->renew_overlaps = wire_get_bool(wire);
}

static void get_places(WireReader *wire, RotateSetup *setup)
{
    wire_get_strings(wire, MAX_PATH, &setup->argv, &setup->n_argv);
    setup->state = wire_dup_text(wire, MAX_PATH);
    setup->audit_key = wire_dup_text(wire, MAX_PATH);
    setup->provider = wire_dup_text(wire, IPC_MAX_TEXT);
    setup->probe = wire_dup_text(wire, IPC_MAX_TEXT);
    get_rotation(wire, &setup->rotation);
    setup->keyring = wire_dup_text(wire, MAX_PATH);
    setup->key_file = wire_dup_text(wire, MAX_PATH);
    setup->passphrase = wire_get_bool(wire);
    setup->roots = wire_dup_text(wire, MAX_PATH);
    setup->proxy = wire_dup_text(wire, IPC_MAX_TEXT);
    wire_get_strings(wire, 253, &setup->no_proxy, &setup->n_no_proxy);
}

int rotate_setup_get(WireReader *wire, RotateSetup *ret_setup)
{
    RotateSetup setup = {0};
    uint8_t act = wire_get_u8(wire);
    setup.act = act < ROTATE_ACTS ? (RotateAct)act : ROTATE_STATUS;
    setup.json = wire_get_bool(wire);
    setup.from_stdin = wire_get_bool(wire);
    setup.allow_wider = wire_get_bool(wire);
    setup.allow_other = wire_get_bool(wire);
    setup.app = wire_get_bool(wire);
    if (setup.app)
        token_ref_read(wire, &setup.minted);
    setup.from_provider = wire_get_bool(wire);
    setup.accept_loss = wire_get_bool(wire);
    setup.life = wire_get_u64(wire);
    setup.goes_on = wire_get_bool(wire);
    setup.sandbox_optional = wire_get_bool(wire);
    setup.unattended = wire_get_bool(wire);
    setup.tells = wire_get_bool(wire);
    get_places(wire, &setup);
    setup.interval = wire_get_u64(wire);
    setup.revealed = wire_get_u64(wire);
    setup.wait_said = wire_get_bool(wire);
    setup.older_than = wire_get_u64(wire);
    setup.shared = wire_get_bool(wire);
    setup.database = wire_get_bool(wire);
    setup.approle = wire_get_bool(wire);
    setup.vault_token = wire_dup_text(wire, MAX_PATH);
    setup.vault_auth = wire_get_bool(wire);
    bool in_vault = wire_get_bool(wire);
    Slice vault_blob = wire_get_slice(wire, ROTATE_MAX_SOURCE);
    WireReader vault = WIRE_READER(vault_blob.ptr, vault_blob.len);
    bool in_cluster = wire_get_bool(wire);
    Slice kubernetes_blob = wire_get_slice(wire, ROTATE_MAX_SOURCE);
    WireReader kubernetes = WIRE_READER(kubernetes_blob.ptr, kubernetes_blob.len);
    Slice blob = wire_get_slice(wire, ROTATE_MAX_SOURCE);
    WireReader source = WIRE_READER(blob.ptr, blob.len);
    if (act >= ROTATE_ACTS || (setup.app && !setup.minted.mint) || setup.interval > INT64_MAX / 4 ||
        setup.revealed > INT64_MAX / 4 || setup.life > INT64_MAX / 4 || wire_finish(wire) ||
        (in_vault && keeper_vault_get(&vault, &setup.vault)) ||
        (in_cluster && keeper_kubernetes_get(&kubernetes, &setup.kubernetes)) ||
        keeper_source_get(&source, &setup.source)) {
        rotate_setup_done(&setup);
        return -EBADMSG;
    }
    *ret_setup = setup;
    return 0;
}

void rotate_setup_done(RotateSetup *setup)
{
    char *const text[] = {setup->state,
                          setup->audit_key,
                          setup->provider,
                          setup->probe,
                          setup->keyring,
                          setup->key_file,
                          setup->roots,
                          setup->proxy,
                          setup->vault_token,
                          setup->rotation.account,
                          setup->rotation.identity,
                          setup->rotation.scopes,
                          setup->rotation.scopes_header,
                          setup->rotation.expires,
                          setup->rotation.retire,
                          setup->rotation.renew,
                          setup->rotation.renew_token,
                          setup->rotation.renew_expires,
                          setup->rotation.renew_scopes};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    mem_free_strings(setup->no_proxy, setup->n_no_proxy);
    mem_free_strings(setup->argv, setup->n_argv);
    if (setup->vault.configured)
        vault_config_done(&setup->vault);
    if (setup->kubernetes.configured)
        kubernetes_config_done(&setup->kubernetes);
    token_ref_done(&setup->minted);
    keeper_source_done(&setup->source);
    *setup = (RotateSetup){0};
}
