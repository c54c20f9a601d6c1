/* Vault's answers to a rotation. See vault-read.h. */
#include "rotate/vault-read.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define MOST_SECONDS (10ull * 365 * 86400)

static int64_t read_time(const json_t *object, const char *key)
{
    int64_t at = 0;
    const char *text = answer_text(object, key);
    return text && clock_parse(slice_of(text), &at) == 0 ? at : 0;
}

/* KV 2: data.data and data.metadata; a version that was deleted has the latter alone. KV 1: data. */
void vault_read_secret(const json_t *json, bool kv1, VaultSecret *ret_secret)
{
    const json_t *outer = json_object_get(json, "data"), *metadata = json_object_get(outer, "metadata");
    const json_t *data = kv1 ? outer : json_object_get(outer, "data");
    *ret_secret = (VaultSecret){.data = json_is_object(data) ? data : NULL};
    if (kv1)
        return;
    ret_secret->version = answer_number(metadata, "version", INT64_MAX);
    ret_secret->made = read_time(metadata, "created_time");
}

uint64_t vault_read_version(const json_t *json)
{
    return answer_number(json_object_get(json, "data"), "version", INT64_MAX);
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

static uint64_t read_number(const json_t *data, const char *key)
{
    uint64_t at = 0;
    const char *text = answer_text(data, key);
    return text && text_parse_u64(slice_of(text), INT64_MAX, &at) == 0 ? at : 0;
}

int vault_read_staged(const json_t *data, VaultLock *lock, Fault *fault)
{
    int r = vault_seal(data, "old", &lock->staged[0], fault);
    r = r ? r : vault_seal(data, "new", &lock->staged[1], fault);
    if (r)
        vault_lock_done(lock);
    return r;
}

int vault_read_lock(const json_t *data, bool kv1, VaultLock *ret_lock, Fault *fault)
{
    VaultLock lock = {.since = (int64_t)read_number(data, "since"),
                      .beat = (int64_t)read_number(data, "beat")};
    const char *holder = answer_text(data, "holder"), *story = answer_text(data, "journal");
    text_escape(lock.holder, sizeof(lock.holder), holder ? holder : "", holder ? strlen(holder) : 0);
    lock.story = story ? mem_strdup(story) : NULL;
    lock.first = kv1 ? 0 : read_number(data, "first");
    int r = kv1 ? 0 : vault_read_staged(data, &lock, fault);
    if (r)
        return r;
    if (!lock.first && (lock.staged[0] || lock.staged[1])) /* of a purser that did not say so */
        lock.first = 1;
    *ret_lock = lock;
    return 0;
}

void vault_lock_done(VaultLock *lock)
{
    secret_free(lock->staged[0]);
    secret_free(lock->staged[1]);
    mem_free(lock->story);
    *lock = (VaultLock){.holder = ""};
}

int vault_read_mount(const json_t *json, const char *path, Fault *fault)
{
    const json_t *data = json_object_get(json, "data");
    const char *type = answer_text(data, "type"),
               *version = answer_text(json_object_get(data, "options"), "version");
    if (!type || (strcmp(type, "kv") != 0 && strcmp(type, "generic") != 0))
        return fault_set(
            fault, STORE_E_DENIED,
            "%s is no secret of a KV engine: what Vault makes anew by itself is not rotated here", path);
    if (version && strcmp(version, "2") == 0)
        return fault_set(fault, STORE_E_DENIED, "%s is in a KV 2 engine: there the path is MOUNT/data/NAME",
                         path);
    return 0;
}

static bool has(const json_t *list, const char *capability)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *can = json_string_value(json_array_get(list, i));
        if (can && (strcmp(can, capability) == 0 || strcmp(can, "root") == 0))
            return true;
    }
    return false;
}

int vault_read_rights(const json_t *json, const VaultRight *right, size_t n, Fault *fault)
{
    const json_t *data = json_object_get(json, "data");
    CLEANUP_BUF Buf missing = BUF_INIT(4096);
    for (size_t i = 0; i < n; i++)
        if (!has(json_object_get(data, right[i].path), right[i].capability) &&
            buf_printf(&missing, "%s\"%s\" on %s", missing.len ? ", and no " : "", right[i].capability,
                       right[i].path))
            break;
    return missing.len
               ? fault_set(fault, STORE_E_DENIED,
                           "Vault's policy of this login allows no %s; docs/rotation.md has the policy",
                           buf_text(&missing))
               : 0;
}

int vault_read_login(const json_t *json, Sealed **ret_token, char role[static 256], Fault *fault)
{
    const json_t *auth = json_object_get(json, "auth");
    const char *name = answer_text(json_object_get(auth, "metadata"), "role_name");
    text_escape(role, 256, name ? name : "", name ? strlen(name) : 0);
    return vault_seal(auth, "client_token", ret_token, fault);
}

int vault_read_grant(const json_t *json, Sealed **ret_token, int64_t *ret_life, Fault *fault)
{
    const json_t *auth = json_object_get(json, "auth");
    int r = vault_seal(auth, "client_token", ret_token, fault);
    *ret_life = (int64_t)answer_number(auth, "lease_duration", MOST_SECONDS) * CLOCK_SECOND;
    return r || *ret_token ? r : fault_set(fault, STORE_E_DAMAGED, "Vault's answer holds no login");
}

const char *vault_read_connection(const json_t *json)
{
    const char *name = answer_text(json_object_get(json, "data"), "db_name");
    return name && *name && strlen(name) <= 200 && !strchr(name, '/') ? name : NULL;
}

int vault_read_credential(const json_t *json, VaultCredential *ret_credential, Fault *fault)
{
    const json_t *data = json_object_get(json, "data");
    VaultCredential credential = {.rotated = read_time(data, "last_vault_rotation")};
    const char *lease = answer_text(json, "lease_id");
    snprintf(credential.lease, sizeof(credential.lease), "%s",
             lease && strlen(lease) < sizeof(credential.lease) ? lease : "");
    int r = vault_seal(data, "password", &credential.password, fault);
    if (r == 0 && !credential.password)
        r = fault_set(fault, STORE_E_DAMAGED, "Vault's answer holds no password");
    if (r == 0 || credential.lease[0]) /* it is to be given back, whatever else is wrong with it */
        *ret_credential = credential;
    return r;
}
