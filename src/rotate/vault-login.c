/* A rotation's own login to Vault, by a JWT of a file (`kubernetes`, `jwt`): a Job's service account, whose
 * role may write what an agent's can only read. See vault-api.h. */
#include "rotate/vault-api.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/jwt.h"

#include <errno.h>

/* Read anew each time: kubelet replaces it within its life. One that could be used elsewhere is not sent. */
static int read_jwt(const VaultConfig *vault, Sealed **ret_jwt, Fault *fault)
{
    Sealed *jwt = NULL;
    int r =
        api_read_login("the JWT for Vault", vault->secret.name, "--vault-auth logs in with it", &jwt, fault);
    size_t len = r ? 0 : secret_len(jwt);
    char *plain = r ? NULL : secret_alloc(len);
    if (r == 0 && (!plain || secret_open(jwt, plain, len)))
        r = fault_set(fault, -ENOMEM, "the locked memory is used up");
    r = r ? r : jwt_check_audience((Slice){plain, len}, vault->audience, fault);
    secret_release(plain, len);
    if (r) {
        secret_free(jwt);
        return r;
    }
    *ret_jwt = jwt;
    return 0;
}

static int make_body(const VaultConfig *vault, const Sealed *jwt, Buf *ret_body, Fault *fault)
{
    CLEANUP_JSON json_t *json = json_object();
    Buf body = BUF_INIT(STORE_MAX_REQUEST);
    json_object_set_new(json, "role", json_string(vault->role));
    int r = vault_put(json, "jwt", jwt);
    r = r ? r : answer_dump(json, &body);
    if (r) {
        buf_done(&body);
        return fault_set(fault, r, "Vault's login cannot be sent as JSON");
    }
    *ret_body = body;
    return 0;
}

typedef struct Grant {
    Sealed *token;
    int64_t life; /* us; 0: it has no end */
} Grant;

static int take_grant(void *context, const json_t *json, Fault *fault)
{
    Grant *grant = context;
    return vault_read_grant(json, &grant->token, &grant->life, fault);
}

static int refuse(const VaultConfig *vault, const ApiCall *ask, Fault *fault)
{
    int r = vault_api_refusal(ask, fault);
    return r != STORE_E_DENIED
               ? r
               : fault_set(fault, r,
                           "Vault does not take this login for the role %s (%d%s%s): bind auth/%s/role/%s to "
                           "this service account, its namespace and the audience %s",
                           vault->role, ask->status, ask->said[0] ? ": " : "", ask->said, vault->mount,
                           vault->role, vault->audience);
}

static int post(VaultApi *api, const Sealed *jwt, Grant *ret_grant, Fault *fault)
{
    const VaultConfig *vault = &api->setup->vault;
    CLEANUP_MEM char *path = mem_printf("auth/%s/login", vault->mount);
    Grant grant = {0};
    Buf body;
    int r = make_body(vault, jwt, &body, fault);
    if (r)
        return r;
    ApiCall ask = {.method = "POST",
                   .path = path,
                   .body = &body,
                   .hidden = jwt,
                   .bare = true,
                   .take = take_grant,
                   .context = &grant};
    r = vault_ask_in(api, api->login_space, &ask, fault);
    if (r == 0 && ask.status != 200)
        r = refuse(vault, &ask, fault);
    if (r) {
        secret_free(grant.token);
        return r;
    }
    *ret_grant = grant;
    return 0;
}

static int log_in(VaultApi *api, Fault *fault)
{
    Sealed *jwt = NULL;
    Grant grant = {0};
    int64_t asked = clock_mono();
    int r = read_jwt(&api->setup->vault, &jwt, fault);
    r = r ? r : post(api, jwt, &grant, fault);
    secret_free(jwt);
    if (r)
        return r;
    vault_login_end(api);
    api->token = grant.token;
    api->old = grant.life ? asked + grant.life / 2 : INT64_MAX;
    api->dead = grant.life ? asked + grant.life : INT64_MAX;
    return 0;
}

int vault_login_keep(VaultApi *api, Fault *fault)
{
    Fault why = {""};
    if (!api->setup->vault_auth || (api->token && clock_mono() < api->old))
        return 0;
    if (!api->token || clock_mono() >= api->dead)
        return log_in(api, fault);
    (void)!log_in(api, &why); /* what is there still works; the next call tries again */
    return 0;
}

/* What is not given back dies by itself. */
void vault_login_end(VaultApi *api)
{
    Fault why = {""};
    ApiCall ask = {.method = "POST", .path = "auth/token/revoke-self"};
    if (!api->setup || !api->setup->vault_auth || !api->token)
        return;
    (void)!vault_ask_in(api, api->login_space, &ask, &why);
    api->token = secret_free(api->token);
}
