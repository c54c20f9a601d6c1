/* The private key of a GitHub App, as a rotation proves it: it signs what GitHub is asked with, and mints.
 * See provider.h. */
#include "rotate/provider-private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/jwt.h"
#include "store/mint.h"

#include <errno.h>

int app_sign(const ProviderLink *link, const Sealed *key, Sealed **ret_jwt, Fault *fault)
{
    CLEANUP_BUF Buf claims = BUF_INIT(1024);
    int64_t now = (clock_wall() + link->skew) / CLOCK_SECOND;
    if (mint_github_claims(link->setup->minted.mint->id, now, &claims) != 0)
        return fault_set(fault, STORE_E_DAMAGED, "the app's id is too long");
    return jwt_sign(key, "", buf_slice(&claims), ret_jwt, fault);
}

/* The store of one key, for what mints from it. */
typedef struct OneKey {
    Store store;
    const Sealed *key;
} OneKey;

static void fetch_key(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    const OneKey *one = (OneKey *)store;
    StoreResult result = {.token = {.token = secret_dup(one->key)}};
    (void)ref;
    done(context, &result);
    stored_token_done(&result.token);
}

typedef struct Minting {
    bool ended;
    StoreResult result;
} Minting;

static void on_minted(void *context, StoreResult *result)
{
    Minting *minting = context;
    minting->ended = true;
    minting->result = *result;
    result->token = (StoredToken){0};
}

static int wait_for(const ProviderLink *link, const Minting *minting, Fault *fault)
{
    while (!minting->ended && event_base_loop(link->link.base, EVLOOP_ONCE) == 0)
        ;
    *fault = minting->result.fault;
    return minting->ended ? minting->result.result : fault_set(fault, STORE_E_OUTAGE, "GitHub was not asked");
}

int provider_prove(ProviderLink *link, const Sealed *key, Fault *fault)
{
    static const StoreDriver driver = {.name = "", .fetch = fetch_key};
    const TokenRef *ref = &link->setup->minted;
    if (!link->setup->app)
        return 0;
    OneKey one = {{&driver, {0}}, key};
    Stores stores = {.store = {[STORE_NONE] = NULL}};
    stores.store[ref->mint->secret.kind] = &one.store;
    Store *app = store_github_app_new(link->link.client, &stores);
    Minting minted = {0}, back = {0};
    Fault why;
    app->driver->fetch(app, ref, on_minted, &minted);
    int r = wait_for(link, &minted, fault);
    if (r == 0) { /* it was for the proof alone; what is not given back dies within its hour */
        app->driver->give_back(app, ref, &minted.result.token, on_minted, &back);
        (void)!wait_for(link, &back, &why);
    }
    stored_token_done(&minted.result.token);
    app->driver->free(app);
    return r;
}

int provider_check(const ProviderLink *link, const Sealed *token, Fault *fault)
{
    Sealed *jwt = NULL;
    int r = link->setup->app ? app_sign(link, token, &jwt, fault) : 0;
    secret_free(jwt);
    return r;
}

void provider_name(const ProviderLink *link, const Sealed *token, char out[static PROVIDER_NAME])
{
    char print[64];
    out[0] = 0;
    if (link->setup->app && jwt_fingerprint(token, print) == 0)
        snprintf(out, PROVIDER_NAME, " (SHA256:%s)", print);
}
