/* Purser's own login to Vault by AppRole, as a rotation proves and retires it: a secret id works if a login
 * with it does (which is given back at once), Vault makes a new one beside the old, and destroys the one that
 * is dropped. What the login tells is the role's name. See provider.h. */
#include "rotate/provider-private.h"

#include "base/mem.h"

#include <errno.h>

int approle_open(const RotateSetup *setup, ProviderLink **ret_link, Fault *fault)
{
    ProviderLink *link = MEM_NEW(ProviderLink);
    *link = (ProviderLink){.setup = setup, .label = mem_strdup("Vault"), .vault = MEM_NEW(VaultApi)};
    int r = vault_api_init(link->vault, setup, setup->vault.space, fault);
    if (r) {
        provider_close(link);
        return r;
    }
    *ret_link = link;
    return 0;
}

typedef struct LoggedIn {
    Sealed *token; /* Vault's, of this login */
    char role[256];
} LoggedIn;

static int take_login(void *context, const json_t *json, Fault *fault)
{
    LoggedIn *in = context;
    return vault_read_login(json, &in->token, in->role, fault);
}

/* It was for the proof alone; what is not given back dies by itself. */
static void give_back(ProviderLink *link, const Sealed *token)
{
    Fault why = {""};
    ApiCall ask = {.method = "POST", .path = "auth/token/revoke-self", .as = token};
    (void)!vault_ask(link->vault, &ask, &why);
}

/* {"role_id": ..., "secret_id": ...}; role_id NULL: without it. */
static int make_body(const char *role_id, const Sealed *secret_id, Buf *ret_body, Fault *fault)
{
    CLEANUP_JSON json_t *json = json_object();
    Buf body = BUF_INIT(STORE_MAX_REQUEST);
    if (role_id)
        json_object_set_new(json, "role_id", json_string(role_id));
    int r = vault_put(json, "secret_id", secret_id);
    r = r ? r : answer_dump(json, &body);
    if (r) {
        buf_done(&body);
        return fault_set(fault, r, "the secret id cannot be sent as JSON");
    }
    *ret_body = body;
    return 0;
}

static bool is_dead(const ApiCall *ask)
{
    return ask->status == 400 && strstr(ask->said, "invalid") && strcasestr(ask->said, "secret");
}

int approle_probe(ProviderLink *link, const Sealed *token, RotateLife *ret_life, Account *ret_account,
                  Fault *fault)
{
    CLEANUP_MEM char *path = mem_printf("auth/%s/login", link->setup->vault.mount);
    LoggedIn in = {0};
    Buf body;
    int r = make_body(link->setup->vault.role_id, token, &body, fault);
    if (r)
        return r;
    ApiCall ask = {.method = "POST",
                   .path = path,
                   .body = &body,
                   .hidden = token,
                   .bare = true,
                   .take = take_login,
                   .context = &in};
    r = vault_ask(link->vault, &ask, fault);
    if (r == 0 && ask.status != 200 && !is_dead(&ask))
        r = vault_api_refusal(&ask, fault);
    if (in.token)
        give_back(link, in.token);
    secret_free(in.token);
    if (r)
        return r;
    Account account = {0};
    if (ask.status == 200) {
        memcpy(account.identity, in.role, sizeof(account.identity));
        mem_free(link->role);
        link->role = mem_strdup(in.role);
    }
    *ret_life = ask.status == 200 ? ROTATE_WORKS : ROTATE_DEAD;
    *ret_account = account;
    return 0;
}

static int take_made(void *context, const json_t *json, Fault *fault)
{
    return vault_seal(json_object_get(json, "data"), "secret_id", context, fault);
}

/* The name of the role is what a login has told. */
static char *role_path(const ProviderLink *link, const char *end, Fault *fault)
{
    if (link->role && link->role[0])
        return mem_printf("auth/%s/role/%s/%s", link->setup->vault.mount, link->role, end);
    fault_set(fault, 0, "Vault has not told the AppRole's name, since no login was possible");
    return NULL;
}

int approle_make(ProviderLink *link, Sealed **ret_token, Fault *fault)
{
    CLEANUP_MEM char *path = role_path(link, "secret-id", fault);
    Sealed *made = NULL;
    ApiCall ask = {.method = "POST", .path = path, .take = take_made, .context = &made};
    int r = path ? vault_ask(link->vault, &ask, fault) : STORE_E_DENIED;
    if (r == 0 && ask.status != 200)
        r = vault_api_refusal(&ask, fault);
    if (r == 0 && !made)
        r = fault_set(fault, STORE_E_DAMAGED, "Vault's answer holds no secret id");
    if (r) {
        secret_free(made);
        return r;
    }
    *ret_token = made;
    return 0;
}

int approle_retire(ProviderLink *link, const Sealed *token, Fault *fault)
{
    RotateLife life;
    Account account = {0};
    if (!link->role) /* of a revocation: nothing was tried yet */
        (void)!approle_probe(link, token, &life, &account, fault);
    account_done(&account);
    CLEANUP_MEM char *path = role_path(link, "secret-id/destroy", fault);
    Buf body;
    int r = path ? make_body(NULL, token, &body, fault) : STORE_E_DENIED;
    if (r)
        return r;
    ApiCall ask = {.method = "POST", .path = path, .body = &body, .hidden = token};
    r = vault_ask(link->vault, &ask, fault);
    return r || api_took(&ask) ? r : vault_api_refusal(&ask, fault);
}

/* For --dry-run; the role's name is known once the current one was tried. */
int approle_may(ProviderLink *link, Fault *fault)
{
    CLEANUP_MEM char *make = role_path(link, "secret-id", fault),
                     *destroy = role_path(link, "secret-id/destroy", fault);
    if (!make || !destroy)
        return STORE_E_DENIED;
    const VaultRight right[] = {{"update", make}, {"update", destroy}};
    return vault_may(link->vault, right, COUNT_OF(right), fault);
}
