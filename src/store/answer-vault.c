/* Vault's and OpenBao's JSON. See answer.h. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/answer.h"

#include <stdio.h>

#define MOST_SECONDS (10ull * 365 * 86400)

static json_t *open_answer(Slice body, Fault *fault)
{
    json_t *json = answer_json(body);
    if (!json)
        fault_set(fault, 0, "Vault's answer is not the JSON that it should be");
    return json;
}

static uint64_t seconds(const json_t *object, const char *key)
{
    return answer_number(object, key, MOST_SECONDS) * CLOCK_SECOND;
}

/* KV 2 has its values one level deeper, beside what it says of the version. */
static const json_t *values(const json_t *json, const json_t **ret_metadata)
{
    const json_t *data = json_object_get(json, "data");
    const json_t *inner = json_object_get(data, "data"), *metadata = json_object_get(data, "metadata");
    *ret_metadata = NULL;
    if (!json_is_object(metadata) || !json_object_get(metadata, "version"))
        return data;
    *ret_metadata = metadata;
    return inner;
}

static void take_version(const json_t *metadata, StoredToken *token)
{
    const char *created = answer_text(metadata, "created_time");
    int64_t set = 0;
    token->version = mem_printf("%llu", (unsigned long long)answer_number(metadata, "version", UINT32_MAX));
    if (created && clock_parse(slice_of(created), &set) == 0)
        token->set = set;
}

static void take_lease(const json_t *json, StoredToken *token)
{
    const char *lease = answer_text(json, "lease_id");
    if (!lease || !*lease || strlen(lease) > 1024)
        return;
    token->lease = mem_strdup(lease);
    token->leased = true;
    token->life = seconds(json, "lease_duration");
    token->renewable = json_is_true(json_object_get(json, "renewable"));
}

int answer_vault_secret(const TokenRef *ref, Slice body, StoredToken *ret_token, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    const json_t *metadata = NULL;
    if (!json)
        return STORE_E_DAMAGED;
    const json_t *data = values(json, &metadata);
    if (metadata && json_is_null(data))
        return fault_set(fault, STORE_E_ABSENT, "%s: this version was deleted", ref->name);
    int r = answer_take_token(ref, data, false, ret_token, fault);
    if (r)
        return r;
    if (metadata)
        take_version(metadata, ret_token);
    else
        take_lease(json, ret_token);
    return 0;
}

static int take_grant(const json_t *auth, VaultGrant *grant, Fault *fault)
{
    const char *token = answer_text(auth, "client_token"), *type = answer_text(auth, "token_type");
    grant->life = seconds(auth, "lease_duration");
    grant->renewable = json_is_true(json_object_get(auth, "renewable"));
    grant->batch = type && strcmp(type, "batch") == 0; /* not secret */
    return token && *token ? store_seal("Vault's login", slice_of(token), false, &grant->token, fault)
                           : fault_set(fault, STORE_E_DAMAGED, "Vault's answer to the login holds no token");
}

int answer_vault_login(Slice body, VaultGrant *ret_grant, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    VaultGrant grant = {0};
    if (!json)
        return STORE_E_DAMAGED;
    const json_t *auth = json_object_get(json, "auth"), *data = json_object_get(json, "data");
    int r = 0;
    if (json_is_object(auth)) {
        r = take_grant(auth, &grant, fault);
    } else if (json_is_object(data) && json_object_get(data, "ttl")) { /* a token looked up */
        grant.life = seconds(data, "ttl");
        grant.renewable = json_is_true(json_object_get(data, "renewable"));
    } else {
        r = fault_set(fault, STORE_E_DAMAGED, "Vault's answer to the login holds no token");
    }
    if (r == 0)
        *ret_grant = grant;
    return r;
}

int answer_vault_wrapped(Slice body, Sealed **ret_token, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    if (!json)
        return STORE_E_DAMAGED;
    const char *token = answer_text(json_object_get(json, "wrap_info"), "token");
    if (!token || !*token)
        return 0;
    return store_seal("Vault's wrapped answer", slice_of(token), false, ret_token, fault);
}

int answer_vault_renewed(Slice body, uint64_t *ret_life, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    if (!json)
        return STORE_E_DAMAGED;
    *ret_life = seconds(json, "lease_duration");
    return 0;
}

int answer_vault_field(Slice body, const char *key, Sealed **ret_text, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    if (!json)
        return STORE_E_DAMAGED;
    const char *text = answer_text(json_object_get(json, "data"), key);
    if (!text || !*text)
        return fault_set(fault, STORE_E_DAMAGED, "Vault's answer holds no %s", key);
    return store_seal(key, slice_of(text), false, ret_text, fault);
}
