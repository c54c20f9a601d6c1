/* Calls to Vault. See vault-api.h. */
#include "rotate/vault-api.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/vault.h"
#include "token/take.h"

#include <errno.h>
#include <fcntl.h>

static int read_token(VaultApi *api, Fault *fault)
{
    const char *path = api->setup->vault_token;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fault_set(
            fault, -errno,
            "Vault's token cannot be read from %s: %s; log in (`bao login`, `vault login`), or say "
            "--vault-token FILE",
            path, strerror(errno));
    return token_take_pipe(path, fd, &api->token, fault);
}

int vault_api_init(VaultApi *api, const RotateSetup *setup, const char *space, Fault *fault)
{
    const VaultConfig *vault = &setup->vault;
    *api = (VaultApi){.setup = setup,
                      .space = space[0] ? mem_printf("X-Vault-Namespace: %s", space) : NULL,
                      .server = {"Vault", &vault->origin, vault->server_name, vault->ca_file,
                                 vault->cert_file, vault->key_file, NULL}};
    if (setup->vault_auth)
        api->login_space = vault->space[0] ? mem_printf("X-Vault-Namespace: %s", vault->space) : NULL;
    int r = setup->vault_auth ? 0 : read_token(api, fault);
    r = r ? r : link_init(&api->link, setup, &api->server, fault);
    return r ? r : vault_login_keep(api, fault);
}

void vault_api_done(VaultApi *api)
{
    vault_login_end(api);
    link_done(&api->link);
    secret_free(api->token);
    mem_free(api->space);
    mem_free(api->login_space);
}

typedef struct Answering {
    VaultApi *api;
    VaultAsk *ask;
    int result;
    Fault *fault;
} Answering;

static void on_answer(void *context, StoreAnswer *answer)
{
    Answering *answering = context;
    VaultAsk *ask = answering->ask;
    ask->status = answer->status;
    answering->api->now = answer->date ? answer->date : clock_wall();
    if (answer->status >= 300)
        answer_error(answer->body, ask->said);
    if (!ask->take)
        return;
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    answering->result = ask->take(ask->context, answer->status, json, answering->fault);
}

int vault_ask(VaultApi *api, VaultAsk *ask, Fault *fault)
{
    int r = vault_login_keep(api, fault);
    if (r && ask->body)
        buf_done(ask->body);
    return r ? r : vault_ask_in(api, api->space, ask, fault);
}

int vault_ask_in(VaultApi *api, const char *space, VaultAsk *ask, Fault *fault)
{
    CLEANUP_MEM char *escaped = vault_path(ask->path);
    Answering answering = {api, ask, 0, fault};
    StoreCall call = {.method = ask->method,
                      .path = escaped,
                      .header = {"X-Vault-Request: true", space},
                      .credential = "X-Vault-Token: ",
                      .token = ask->bare ? NULL
                               : ask->as ? ask->as
                                         : api->token,
                      .hidden = ask->hidden,
                      .body = ask->body ? *ask->body : BUF_INIT(0)};
    if (ask->body)
        *ask->body = BUF_INIT(0);
    int r = link_call(&api->link, &call, on_answer, &answering, fault);
    return r ? r : answering.result;
}

int vault_api_refusal(const VaultAsk *ask, Fault *fault)
{
    if (ask->status == 400 && strstr(ask->said, "check-and-set"))
        return fault_set(fault, -ESTALE, "Vault's secret %s was changed meanwhile by somebody else",
                         ask->path);
    return fault_set(fault, ask->status == 429 || ask->status >= 500 ? STORE_E_OUTAGE : STORE_E_DENIED,
                     "Vault answered %d for %s%s%s", ask->status, ask->path, ask->said[0] ? ": " : "",
                     ask->said);
}

typedef struct Reading {
    bool kv1;
    VaultTake *take;
    void *context;
    uint64_t version;
} Reading;

/* KV 2: data.data and data.metadata; a version that was deleted is a 404 with the latter. KV 1: data. */
static int take_secret(void *context, int status, const json_t *json, Fault *fault)
{
    Reading *reading = context;
    const json_t *outer = json_object_get(json, "data"), *metadata = json_object_get(outer, "metadata");
    const char *created = answer_text(metadata, "created_time");
    int64_t made = 0;
    if (created && clock_parse(slice_of(created), &made))
        made = 0;
    reading->version = reading->kv1 ? 0 : answer_number(metadata, "version", INT64_MAX);
    const json_t *data = reading->kv1 ? outer : json_object_get(outer, "data");
    return status == 200
               ? reading->take(reading->context, data, reading->version, reading->kv1 ? 0 : made, fault)
               : 0;
}

int vault_kv_read(VaultApi *api, const char *path, VaultTake *take, void *context, uint64_t *ret_version,
                  Fault *fault)
{
    Reading reading = {api->kv1, take, context, 0};
    VaultAsk ask = {.method = "GET", .path = path, .take = take_secret, .context = &reading};
    int r = vault_ask(api, &ask, fault);
    if (r == 0 && ask.status != 200 && ask.status != 404)
        r = vault_api_refusal(&ask, fault);
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

static int take_version(void *context, int status, const json_t *json, Fault *fault)
{
    (void)fault;
    if (status == 200)
        *(uint64_t *)context = answer_number(json_object_get(json, "data"), "version", INT64_MAX);
    return 0;
}

int vault_kv_send(VaultApi *api, const char *path, Buf *body, uint64_t *version, Fault *fault)
{
    uint64_t made = 0;
    VaultAsk ask = {.method = "POST", .path = path, .body = body, .take = take_version, .context = &made};
    int r = vault_ask(api, &ask, fault);
    if (r == 0 && ask.status != 200 && ask.status != 204)
        r = vault_api_refusal(&ask, fault);
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
    VaultAsk ask = {.method = "DELETE", .path = path};
    int r = vault_ask(api, &ask, fault);
    return r || ask.status == 204 || ask.status == 200 || ask.status == 404 ? r
                                                                            : vault_api_refusal(&ask, fault);
}

static int take_mount(void *context, int status, const json_t *json, Fault *fault)
{
    const json_t *data = json_object_get(json, "data");
    const char *type = answer_text(data, "type"),
               *version = answer_text(json_object_get(data, "options"), "version");
    const char *path = context;
    if (status != 200)
        return 0;
    if (!type || (strcmp(type, "kv") != 0 && strcmp(type, "generic") != 0))
        return fault_set(
            fault, STORE_E_DENIED,
            "%s is no secret of a KV engine: what Vault makes anew by itself is not rotated here", path);
    if (version && strcmp(version, "2") == 0)
        return fault_set(fault, STORE_E_DENIED, "%s is in a KV 2 engine: there the path is MOUNT/data/NAME",
                         path);
    return 0;
}

int vault_check_kv1(VaultApi *api, const char *path, Fault *fault)
{
    CLEANUP_MEM char *mount = mem_printf("sys/internal/ui/mounts/%s", path);
    VaultAsk ask = {.method = "GET", .path = mount, .take = take_mount, .context = (void *)(uintptr_t)path};
    int r = vault_ask(api, &ask, fault);
    return r || ask.status == 200 ? r : vault_api_refusal(&ask, fault);
}

int vault_seal(const json_t *data, const char *key, Sealed **ret_token, Fault *fault)
{
    const json_t *value = json_object_get(data, key);
    *ret_token = NULL;
    if (!json_is_string(value))
        return 0;
    return store_seal(key, (Slice){json_string_value(value), json_string_length(value)}, true, ret_token,
                      fault);
}

int vault_put(json_t *data, const char *key, const Sealed *token)
{
    size_t len = token ? secret_len(token) : 0;
    char *plain = token ? secret_alloc(len + 1) : NULL;
    if (!token)
        return 0;
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0 && json_object_set_new(data, key, json_stringn(plain, len)) < 0)
        r = -EINVAL;
    secret_release(plain, len + 1);
    return r;
}

typedef struct Rights {
    const VaultRight *right;
    size_t n;
} Rights;

static bool has(const json_t *list, const char *capability)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *can = json_string_value(json_array_get(list, i));
        if (can && (strcmp(can, capability) == 0 || strcmp(can, "root") == 0))
            return true;
    }
    return false;
}

static int take_rights(void *context, int status, const json_t *json, Fault *fault)
{
    const Rights *rights = context;
    const json_t *data = json_object_get(json, "data");
    CLEANUP_BUF Buf missing = BUF_INIT(4096);
    for (size_t i = 0; i < rights->n && status == 200; i++) {
        const VaultRight *right = &rights->right[i];
        if (!has(json_object_get(data, right->path), right->capability) &&
            buf_printf(&missing, "%s\"%s\" on %s", missing.len ? ", and no " : "", right->capability,
                       right->path))
            break;
    }
    return missing.len
               ? fault_set(fault, STORE_E_DENIED,
                           "Vault's policy of this login allows no %s; docs/rotation.md has the policy",
                           buf_text(&missing))
               : 0;
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
    VaultAsk ask = {.method = "POST",
                    .path = "sys/capabilities-self",
                    .body = &body,
                    .take = take_rights,
                    .context = &rights};
    r = vault_ask(api, &ask, fault);
    return r || ask.status == 200 ? r : vault_api_refusal(&ask, fault);
}
