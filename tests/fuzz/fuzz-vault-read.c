/* Any bytes as Vault's answer to a rotation, in each way that one is read: no crash, a sentence for every
 * refusal; what is taken for a person's eyes is printable, and what goes into a path of the next call is one
 * word of it. */
#include "base/mem.h"
#include "hold.h"
#include "rotate/vault-read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written as a rotation does and read again, is the same. */
static void write_again(const VaultLock *lock, bool kv1)
{
    static const char *const key[] = {"old", "new"};
    json_t *data = json_object();
    VaultLock again = {.holder = ""};
    Fault fault = {""};
    for (size_t i = 0; i < 2; i++)
        hold(vault_put(data, key[i], lock->staged[i]) == 0);
    hold(vault_read_lock(data, kv1, &again, &fault) == 0);
    for (size_t i = 0; i < 2 && !kv1; i++)
        hold(secret_same(lock->staged[i], again.staged[i]) || (!lock->staged[i] && !again.staged[i]));
    vault_lock_done(&again);
    json_decref(data);
}

static void read_lock(const json_t *data, bool kv1)
{
    VaultLock lock = {.holder = ""};
    Fault fault = {""};
    int r = vault_read_lock(data, kv1, &lock, &fault);
    hold((r != 0) == (fault.text[0] != 0));
    if (r)
        return;
    hold(is_printable(lock.holder) && lock.since >= 0 && lock.beat >= 0);
    hold(!kv1 || (!lock.first && !lock.staged[0] && !lock.staged[1]));
    hold(lock.first || !(lock.staged[0] || lock.staged[1]));
    write_again(&lock, kv1);
    vault_lock_done(&lock);
}

static void read_secret(const json_t *json, bool kv1)
{
    VaultSecret secret;
    Sealed *token = NULL;
    Fault fault = {""};
    vault_read_secret(json, kv1, &secret);
    hold(!secret.data || json_is_object(secret.data));
    hold(!kv1 || (!secret.version && !secret.made));
    int r = vault_seal(secret.data, "token", &token, &fault);
    hold((r != 0) == (fault.text[0] != 0) && (!r || !token));
    secret_free(token);
    read_lock(secret.data, kv1);
    read_lock(json, kv1);
}

static void read_others(const json_t *json)
{
    static const VaultRight right[] = {{"update", "secret/data/ci/api"},
                                       {"create", "secret/data/ci/api.purser-rotation"}};
    char role[256];
    Sealed *token = NULL;
    VaultCredential credential = {.rotated = 0};
    Fault fault = {""};
    const char *name = vault_read_connection(json);
    hold(!name || (*name && strlen(name) <= 200 && !strchr(name, '/')));
    int r = vault_read_rights(json, right, COUNT_OF(right), &fault);
    hold((r != 0) == (fault.text[0] != 0));
    fault.text[0] = 0;
    r = vault_read_mount(json, "kv/ci/api", &fault);
    hold((r != 0) == (fault.text[0] != 0));
    fault.text[0] = 0;
    r = vault_read_login(json, &token, role, &fault);
    hold((r != 0) == (fault.text[0] != 0) && is_printable(role));
    token = secret_free(token);
    fault.text[0] = 0;
    int64_t life = 0;
    r = vault_read_grant(json, &token, &life, &fault);
    hold((r != 0) == (fault.text[0] != 0) && (r == 0) == (token != NULL) && life >= 0);
    secret_free(token);
    fault.text[0] = 0;
    r = vault_read_credential(json, &credential, &fault);
    hold((r != 0) == (fault.text[0] != 0) && (r == 0) == (credential.password != NULL));
    secret_free(credential.password);
    (void)vault_read_version(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started && secret_init(256u << 10, NULL))
        abort();
    started = true;
    CLEANUP_JSON json_t *json = answer_json((Slice){(const char *)data, size});
    read_secret(json, false);
    read_secret(json, true);
    read_others(json);
    return 0;
}
