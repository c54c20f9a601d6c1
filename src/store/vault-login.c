/* Vault's logins. See vault.h. */
#include "store/vault-private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/jwt.h"
#include "store/plan.h"

#include <errno.h>

void vault_forget_login(Vault *vault)
{
    vault->token = secret_free(vault->token);
    evtimer_del(vault->renewal);
}

void vault_plan_renewal(Vault *vault)
{
    uint64_t us = plan_renew(vault->seed, vault->turn++, vault->life);
    struct timeval wait = {(time_t)(us / CLOCK_SECOND), (suseconds_t)(us % CLOCK_SECOND)};
    if (vault->life && vault->token && (vault->own || vault->renewable))
        evtimer_add(vault->renewal, &wait);
}

static void ended(Vault *vault, int result, const Fault *fault)
{
    vault->logging_in = false;
    vault->secret = secret_free(vault->secret);
    if (result) {
        vault->failures++;
        vault->failed_as = result;
        vault->fault = *fault;
        vault->not_before = clock_mono() + (int64_t)plan_retry(vault->seed, vault->failures, 0) / 2;
    } else {
        vault->failures = 0;
        vault_plan_renewal(vault);
    }
    vault_login_ended(vault, result, fault);
}

static void on_grant(void *context, int failed, StoreAnswer *answer, const Fault *why)
{
    Vault *vault = context;
    VaultGrant grant = {0};
    Fault fault = *why;
    bool given = vault->config->login == VAULT_LOGIN_TOKEN;
    vault->login_calls++;
    if (!failed && answer->status == 200)
        failed = answer_vault_login(answer->body, &grant, &fault);
    else if (!failed)
        failed = vault_refusal("the login", answer, &fault);
    if (failed) {
        ended(vault, failed, &fault);
        return;
    }
    secret_free(vault->token);
    vault->token = given ? STEAL(vault->secret) : STEAL(grant.token);
    vault->own = !given && !grant.batch;
    vault->life = grant.life;
    vault->renewable = grant.renewable;
    secret_free(grant.token);
    ended(vault, 0, &fault);
}

static const char *secret_key(VaultLogin login)
{
    return login == VAULT_LOGIN_APPROLE ? "secret_id" : login == VAULT_LOGIN_CERT ? NULL : "jwt";
}

static const char *name_key(VaultLogin login)
{
    return login == VAULT_LOGIN_APPROLE ? "role_id" : login == VAULT_LOGIN_CERT ? "name" : "role";
}

static void post_login(Vault *vault)
{
    const VaultConfig *config = vault->config;
    const char *name = config->login == VAULT_LOGIN_APPROLE ? config->role_id : config->role;
    CLEANUP_MEM char *path = mem_printf("auth/%s/login", config->mount);
    VaultCall call = {.method = "POST", .path = path, .hidden = vault->secret};
    Fault fault = {""};
    if (config->login == VAULT_LOGIN_TOKEN) {
        call = (VaultCall){.method = "GET", .path = "auth/token/lookup-self", .token = vault->secret};
    } else if (vault_body(&call.body, name_key(config->login), *name ? name : NULL, secret_key(config->login),
                          vault->secret)) {
        buf_done(&call.body);
        ended(vault, fault_set(&fault, STORE_E_BAD_TOKEN, "what Vault's login needs cannot be sent as JSON"),
              &fault);
        return;
    }
    vault_call(vault, &call, on_grant, vault);
}

static void on_unwrapped(void *context, int failed, StoreAnswer *answer, const Fault *why)
{
    Vault *vault = context;
    Fault fault = *why;
    Sealed *secret = NULL;
    vault->login_calls++;
    if (!failed && answer->status == 200)
        failed = answer_vault_field(answer->body, "secret_id", &secret, &fault);
    else if (!failed)
        failed = fault_set(
            &fault, STORE_E_DENIED,
            "the wrapped secret id cannot be unwrapped (%d): it was unwrapped before, by somebody, or "
            "its time is over; issue a new one, and find out which",
            answer->status);
    if (failed) {
        ended(vault, failed, &fault);
        return;
    }
    secret_free(vault->secret);
    vault->secret = secret;
    post_login(vault);
}

/* A JWT that could be used elsewhere is not sent (DESIGN: the one that the API server would accept, never).
 */
static int check_jwt(const Vault *vault, Fault *fault)
{
    size_t len = secret_len(vault->secret);
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(vault->secret, plain, len) : -ENOMEM;
    r = r ? fault_set(fault, r, "there is no locked memory left for Vault's login")
          : jwt_check_audience((Slice){plain, len}, vault->config->audience, fault);
    secret_release(plain, len);
    return r;
}

static void on_secret(void *context, StoreResult *result)
{
    Vault *vault = context;
    const VaultConfig *config = vault->config;
    Fault fault = result->fault;
    int r = result->result == STORE_E_REVOKED ? STORE_E_DENIED
                                              : result->result; /* of the login, not of its tokens */
    vault->login_calls += result->calls;
    vault->secret = r ? NULL : STEAL(result->token.token);
    if (r == 0 && (config->login == VAULT_LOGIN_JWT || config->login == VAULT_LOGIN_KUBERNETES))
        r = check_jwt(vault, &fault);
    if (r) {
        fault_prefix(&fault, r, "Vault's login");
        ended(vault, r, &fault);
        return;
    }
    if (!config->wrapped) {
        post_login(vault);
        return;
    }
    VaultCall call = {.method = "POST", .path = "sys/wrapping/unwrap", .token = vault->secret};
    vault_call(vault, &call, on_unwrapped, vault);
}

void vault_login(Vault *vault)
{
    if (vault->logging_in)
        return;
    vault->logging_in = true;
    vault_forget_login(vault);
    if (vault->config->login == VAULT_LOGIN_CERT)
        post_login(vault);
    else
        stores_fetch(vault->stores, &vault->config->secret, on_secret, vault);
}
