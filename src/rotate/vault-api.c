/* Calls to Vault. See vault-api.h. */
#include "rotate/vault-api.h"

#include "base/mem.h"
#include "store/vault.h"

#include <errno.h>

#define DESTROYED_AT_ONCE 1000   /* versions; their numbers fit into a request */
#define DESTROYED_MOST    200000 /* of a rotation that waited for three weeks, a beat each */

int vault_api_init(VaultApi *api, const RotateSetup *setup, const char *space, Fault *fault)
{
    const VaultConfig *vault = &setup->vault;
    *api = (VaultApi){.setup = setup, .space = space[0] ? mem_printf("X-Vault-Namespace: %s", space) : NULL};
    if (setup->vault_auth)
        api->login_space = vault->space[0] ? mem_printf("X-Vault-Namespace: %s", vault->space) : NULL;
    int r = setup->vault_auth
                ? 0
                : api_read_login("Vault's token", setup->vault_token,
                                 "log in (`bao login`, `vault login`), or say --vault-token FILE",
                                 &api->token, fault);
    StoreServer server = {
        "Vault", &vault->origin, vault->server_name, vault->ca_file, vault->cert_file, vault->key_file, NULL};
    r = r ? r : api_init(&api->api, setup, server, fault);
    return r ? r : vault_login_keep(api, fault);
}

void vault_api_done(VaultApi *api)
{
    vault_login_end(api);
    api_done(&api->api);
    secret_free(api->token);
    mem_free(api->space);
    mem_free(api->login_space);
}

int vault_ask(VaultApi *api, ApiCall *call, Fault *fault)
{
    int r = vault_login_keep(api, fault);
    if (r && call->body)
        buf_done(call->body);
    return r ? r : vault_ask_in(api, api->space, call, fault);
}

int vault_ask_in(VaultApi *api, const char *space, ApiCall *call, Fault *fault)
{
    CLEANUP_MEM char *escaped = vault_path(call->path);
    const char *path = call->path, *header[] = {"X-Vault-Request: true", space};
    call->path = escaped;
    int r = api_call(&api->api, call, "X-Vault-Token: ", api->token, header, COUNT_OF(header), fault);
    call->path = path;
    return r;
}

/* 0 if it was done, else why not. */
static int ask_for(VaultApi *api, ApiCall *call, Fault *fault)
{
    int r = vault_ask(api, call, fault);
    return r || api_took(call) ? r : vault_api_refusal(call, fault);
}

int vault_api_refusal(const ApiCall *call, Fault *fault)
{
    if (call->status == 400 && strstr(call->said, "check-and-set"))
        return fault_set(fault, -ESTALE, "Vault's secret %s was changed meanwhile by somebody else",
                         call->path);
    return fault_set(fault, api_kind(call), "Vault answered %d for %s%s%s", call->status, call->path,
                     call->said[0] ? ": " : "", call->said);
}

typedef struct Reading {
    bool kv1;
    VaultTake *take;
    void *context;
    uint64_t version;
} Reading;

static int take_secret(void *context, const json_t *json, Fault *fault)
{
    Reading *reading = context;
    VaultSecret secret;
    vault_read_secret(json, reading->kv1, &secret);
    reading->version = secret.version;
    return secret.data ? reading->take(reading->context, &secret, fault) : 0;
}

int vault_kv_read(VaultApi *api, const char *path, VaultTake *take, void *context, uint64_t *ret_version,
                  Fault *fault)
{
    Reading reading = {api->kv1, take, context, 0};
    ApiCall call = {
        .method = "GET", .path = path, .take = take_secret, .context = &reading, .absent_too = true};
    int r = vault_ask(api, &call, fault);
    if (r == 0 && call.status != 200 && call.status != 404)
        r = vault_api_refusal(&call, fault);
    if (r == 0)
        *ret_version = reading.version;
    return r;
}

/* {"options": {"cas": VERSION}, "data": ...}, or in KV 1 `data` alone. */
int vault_kv_dump(const VaultApi *api, json_t *data, uint64_t version, Buf *ret_body, Fault *fault)
{
    json_t *json = json_incref(data);
    Buf body = BUF_INIT(STORE_MAX_REQUEST);
    if (!api->kv1) {
        json_t *options = json_object();
        json_object_set_new(options, "cas", json_integer((json_int_t)version));
        json = json_object();
        json_object_set_new(json, "options", options);
        json_object_set_new(json, "data", data);
    }
    int r = answer_dump(json, &body);
    json_decref(json);
    if (r) {
        buf_done(&body);
        return fault_set(fault, r, "Vault's secret cannot be written anew: %s", strerror(-r));
    }
    *ret_body = body;
    return 0;
}

static int take_version(void *context, const json_t *json, Fault *fault)
{
    (void)fault;
    *(uint64_t *)context = vault_read_version(json);
    return 0;
}

int vault_kv_send(VaultApi *api, const char *path, Buf *body, uint64_t *version, Fault *fault)
{
    uint64_t made = 0;
    ApiCall call = {.method = "POST", .path = path, .body = body, .take = take_version, .context = &made};
    int r = ask_for(api, &call, fault);
    if (r == 0)
        *version = made;
    return r;
}

int vault_kv_write(VaultApi *api, const char *path, json_t *data, uint64_t *version, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(0);
    int r = vault_kv_dump(api, data, *version, &body, fault);
    return r ? r : vault_kv_send(api, path, &body, version, fault);
}

int vault_delete(VaultApi *api, const char *path, Fault *fault)
{
    ApiCall call = {.method = "DELETE", .path = path};
    int r = vault_ask(api, &call, fault);
    return r || api_took(&call) || call.status == 404 ? r : vault_api_refusal(&call, fault);
}

static int destroy_some(VaultApi *api, const char *path, uint64_t from, uint64_t to, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "versions");
    for (uint64_t version = from; version <= to; version++)
        json_u64(&json, NULL, version);
    json_array_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the versions of %s are too many", path);
    ApiCall call = {.method = "POST", .path = path, .body = &body};
    return ask_for(api, &call, fault);
}

int vault_kv_destroy(VaultApi *api, const char *path, uint64_t from, uint64_t to, Fault *fault)
{
    int r = 0;
    from = to > DESTROYED_MOST && from < to - DESTROYED_MOST ? to - DESTROYED_MOST : from;
    for (uint64_t at = from; at <= to && r == 0; at += DESTROYED_AT_ONCE)
        r = destroy_some(api, path, at, to - at < DESTROYED_AT_ONCE ? to : at + DESTROYED_AT_ONCE - 1, fault);
    return r;
}

static int take_mount(void *context, const json_t *json, Fault *fault)
{
    return vault_read_mount(json, context, fault);
}

int vault_check_kv1(VaultApi *api, const char *path, Fault *fault)
{
    CLEANUP_MEM char *mount = mem_printf("sys/internal/ui/mounts/%s", path);
    ApiCall call = {.method = "GET", .path = mount, .take = take_mount, .context = (void *)(uintptr_t)path};
    return ask_for(api, &call, fault);
}

typedef struct Rights {
    const VaultRight *right;
    size_t n;
} Rights;

static int take_rights(void *context, const json_t *json, Fault *fault)
{
    const Rights *rights = context;
    return vault_read_rights(json, rights->right, rights->n, fault);
}

int vault_may(VaultApi *api, const VaultRight *right, size_t n, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    Rights rights = {right, n};
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "paths");
    for (size_t i = 0; i < n; i++)
        json_text(&json, NULL, right[i].path);
    json_array_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the paths are too long");
    ApiCall call = {.method = "POST",
                    .path = "sys/capabilities-self",
                    .body = &body,
                    .take = take_rights,
                    .context = &rights};
    return ask_for(api, &call, fault);
}
