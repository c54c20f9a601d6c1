/* Vault and OpenBao: reads and leases. See vault.h. */
#include "store/vault-private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/plan.h"

#include <errno.h>
#include <stdio.h>

static void job_done(VaultJob *job, StoreResult *result)
{
    StoreDone *done = job->done;
    void *context = job->context;
    result->calls = job->calls;
    token_ref_done(&job->ref);
    mem_free(job->lease);
    mem_free(job);
    done(context, result);
    stored_token_done(&result->token);
}

static void job_fail(VaultJob *job, int failed, uint32_t retry_after, const Fault *fault)
{
    StoreResult result = {.result = failed, .retry_after = retry_after, .fault = *fault};
    job_done(job, &result);
}

int vault_refusal(const char *what, const StoreAnswer *answer, Fault *fault)
{
    char said[256];
    answer_error(answer->status, answer->body, said);
    const char *colon = said[0] ? ": " : "";
    switch (answer->status) {
    case 400:
        return fault_set(fault, STORE_E_DENIED, "Vault does not take %s (400)%s%s", what, colon, said);
    case 401:
    case 403:
        return fault_set(fault, STORE_E_DENIED, "Vault's policy does not allow %s (%d)%s%s", what,
                         answer->status, colon, said);
    case 404:
        return fault_set(fault, STORE_E_ABSENT,
                         "Vault has nothing at %s (404)%s%s; of a KV 2 engine the path is MOUNT/data/NAME",
                         what, colon, said);
    case 429:
        return fault_set(fault, STORE_E_OUTAGE, "Vault asks for fewer calls (429)");
    case 503:
        return fault_set(fault, STORE_E_OUTAGE, "Vault cannot answer (503)%s%s", colon, said);
    default:
        return fault_set(fault,
                         answer->status >= 500 || answer->status < 400 ? STORE_E_OUTAGE : STORE_E_DENIED,
                         "Vault answered %s with status %d%s%s", what, answer->status, colon, said);
    }
}

/* The API's path: what has no place in one is escaped; dot segments were refused with the configuration. */
char *vault_path(const char *path)
{
    CLEANUP_BUF Buf out = BUF_INIT(8192);
    int r = buf_append_text(&out, "/v1/");
    for (const unsigned char *p = (const unsigned char *)path; *p && r == 0; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~/?=&", *p);
        r = plain ? buf_append(&out, p, 1) : buf_printf(&out, "%%%02X", *p);
    }
    return mem_strdup(r ? "/v1/" : buf_text(&out));
}

void vault_call(Vault *vault, VaultCall *from, StoreAnswered *done, void *context)
{
    CLEANUP_MEM char *path = vault_path(from->path);
    CLEANUP_MEM char *space =
        from->space && *from->space ? mem_printf("X-Vault-Namespace: %s", from->space) : NULL;
    CLEANUP_MEM char *wrap = from->wrap ? mem_printf("X-Vault-Wrap-TTL: %us", from->wrap) : NULL;
    StoreCall call = {.server = &vault->server,
                      .method = from->method,
                      .path = path,
                      .header = {"X-Vault-Request: true"},
                      .credential = "X-Vault-Token: ",
                      .token = from->token,
                      .hidden = from->hidden,
                      .body = from->body};
    size_t n = 1;
    if (space || vault->space)
        call.header[n++] = space ? space : vault->space;
    if (wrap)
        call.header[n++] = wrap;
    from->body = BUF_INIT(0);
    store_client_call(vault->client, &call, done, context);
}

int vault_body(Buf *body, const char *key, const char *value, const char *secret_key, const Sealed *secret)
{
    *body = BUF_INIT(STORE_MAX_REQUEST);
    size_t len = secret ? secret_len(secret) : 0;
    char *plain = secret_alloc(len + 1);
    int r = !plain ? -ENOMEM : secret ? secret_open(secret, plain, len) : 0;
    CLEANUP_JSON json_t *json = json_object();
    if (r == 0 && value)
        r = json_object_set_new(json, key, json_string(value));
    if (r == 0 && secret_key)
        r = json_object_set_new(json, secret_key, json_stringn(plain, len));
    secret_release(plain, len + 1);
    return r ? r : answer_dump(json, body);
}

/* With a login at once, else once there is one. */
static void run_job(VaultJob *job)
{
    Vault *vault = job->vault;
    if (vault->token) {
        job->step(job);
        return;
    }
    if (!vault->logging_in && clock_mono() < vault->not_before) {
        job_fail(job, vault->failed_as, 0, &vault->fault);
        return;
    }
    TAILQ_INSERT_TAIL(&vault->waiting, job, link);
    vault_login(vault);
}

void vault_login_ended(Vault *vault, int result, const Fault *fault)
{
    struct VaultJobs waiting;
    TAILQ_INIT(&waiting);
    TAILQ_CONCAT(&waiting, &vault->waiting, link);
    unsigned calls = vault->login_calls;
    vault->login_calls = 0;
    for (VaultJob *job; (job = TAILQ_FIRST(&waiting));) {
        TAILQ_REMOVE(&waiting, job, link);
        job->calls += calls; /* the login is the first one's */
        calls = 0;
        if (result == 0)
            job->step(job);
        else
            job_fail(job, result, 0, fault);
    }
}

/* The server may not know our login any more (revoked, past its time): a new one, once. True: tried again. */
static bool try_new_login(VaultJob *job, const StoreAnswer *answer)
{
    if (answer->status != 403 || job->again || !job->vault->own)
        return false;
    job->again = true;
    vault_forget_login(job->vault);
    run_job(job);
    return true;
}

static int take_secret(VaultJob *job, const StoreAnswer *answer, StoreResult *result)
{
    if (answer->status != 200) {
        bool deleted =
            answer->status == 404 && memmem(answer->body.ptr, answer->body.len, "deletion_time", 13);
        return deleted
                   ? fault_set(&result->fault, STORE_E_ABSENT, "%s: this version was deleted", job->ref.name)
                   : vault_refusal(job->ref.name, answer, &result->fault);
    }
    return answer_vault_secret(&job->ref, answer->body, &result->token, &result->fault);
}

static void on_secret(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    VaultJob *job = context;
    job->calls++;
    if (failed) {
        job_fail(job, failed, 0, fault);
        return;
    }
    if (try_new_login(job, answer))
        return;
    StoreResult result = {.retry_after = answer->retry_after};
    result.result = take_secret(job, answer, &result);
    /* What a login has fetched dies with it. */
    if (result.token.life && job->vault->life && result.token.life > job->vault->life)
        result.token.life = job->vault->life;
    job_done(job, &result);
}

static void unwrap(VaultJob *job, const Sealed *wrapping)
{
    VaultCall call = {
        .method = "POST", .path = "sys/wrapping/unwrap", .space = job->ref.space, .token = wrapping};
    job->again = true; /* it can be unwrapped once only: another login would find it empty */
    vault_call(job->vault, &call, on_secret, job);
}

static void on_wrapped(void *context, int failed, StoreAnswer *answer, const Fault *why)
{
    VaultJob *job = context;
    Sealed *wrapping = NULL;
    Fault fault = *why;
    if (!failed && answer->status == 200)
        failed = answer_vault_wrapped(answer->body, &wrapping, &fault);
    if (failed || !wrapping) { /* an error, or an answer that is not wrapped: for on_secret() to say */
        on_secret(job, failed, answer, &fault);
        return;
    }
    job->calls++;
    unwrap(job, wrapping);
    secret_free(wrapping);
}

static void read_step(VaultJob *job)
{
    const TokenRef *ref = &job->ref;
    CLEANUP_MEM char *path =
        ref->version ? mem_printf("%s?version=%u", ref->name, ref->version) : mem_strdup(ref->name);
    VaultCall call = {
        .method = "GET", .path = path, .space = ref->space, .token = job->vault->token, .wrap = ref->wrap};
    vault_call(job->vault, &call, ref->wrap ? on_wrapped : on_secret, job);
}

static VaultJob *job_new(Vault *vault, const TokenRef *ref, const char *lease, VaultStep *step,
                         StoreDone *done, void *context)
{
    VaultJob *job = MEM_NEW(VaultJob);
    *job = (VaultJob){.vault = vault,
                      .ref = token_ref_dup(ref),
                      .lease = lease ? mem_strdup(lease) : NULL,
                      .step = step,
                      .done = done,
                      .context = context};
    return job;
}

static void vault_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    run_job(job_new((Vault *)store, ref, NULL, read_step, done, context));
}

static void on_lease(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    VaultJob *job = context;
    StoreResult result = {.result = failed, .fault = *fault};
    job->calls++;
    if (!failed && answer->status != 200 && answer->status != 204)
        result.result = vault_refusal("the lease", answer, &result.fault);
    else if (!failed && answer->status == 200 && answer->body.len)
        result.result = answer_vault_renewed(answer->body, &result.token.life, &result.fault);
    job_done(job, &result);
}

static void lease_call(VaultJob *job, const char *path)
{
    VaultCall call = {.method = "PUT", .path = path, .space = job->ref.space, .token = job->vault->token};
    Fault fault;
    if (vault_body(&call.body, "lease_id", job->lease, NULL, NULL)) {
        buf_done(&call.body);
        fault_set(&fault, 0, "the lease's name cannot be sent");
        job_fail(job, STORE_E_DAMAGED, 0, &fault);
        return;
    }
    vault_call(job->vault, &call, on_lease, job);
}

static void renew_step(VaultJob *job)
{
    lease_call(job, "sys/leases/renew");
}

static void give_back_step(VaultJob *job)
{
    lease_call(job, "sys/leases/revoke");
}

static void vault_renew(Store *store, const TokenRef *ref, const StoredToken *token, StoreDone *done,
                        void *context)
{
    run_job(job_new((Vault *)store, ref, token->lease, renew_step, done, context));
}

static void vault_give_back(Store *store, const TokenRef *ref, const StoredToken *token, StoreDone *done,
                            void *context)
{
    run_job(job_new((Vault *)store, ref, token->lease, give_back_step, done, context));
}

static void vault_close(Store *store, StoreDone *done, void *context)
{
    Vault *vault = (Vault *)store;
    StoreResult nothing = {.result = 0};
    if (!vault->token || !vault->own) {
        done(context, &nothing);
        return;
    }
    TokenRef ref = token_ref_new();
    VaultJob *job = job_new(vault, &ref, NULL, NULL, done, context);
    token_ref_done(&ref);
    VaultCall call = {.method = "POST", .path = "auth/token/revoke-self", .token = vault->token};
    vault_call(vault, &call, on_lease, job);
    vault_forget_login(vault);
}

static Store *vault_free(Store *store)
{
    Vault *vault = (Vault *)store;
    for (VaultJob *job; (job = TAILQ_FIRST(&vault->waiting));) {
        TAILQ_REMOVE(&vault->waiting, job, link);
        token_ref_done(&job->ref);
        mem_free(job->lease);
        mem_free(job);
    }
    vault_forget_login(vault);
    event_free(vault->renewal);
    secret_free(vault->secret);
    mem_free(vault->space);
    mem_free(vault);
    return NULL;
}

static void on_login_renewed(void *context, int failed, StoreAnswer *answer, const Fault *why)
{
    Vault *vault = context;
    VaultGrant grant = {0};
    Fault fault = *why;
    if (!failed && answer->status == 200)
        failed = answer_vault_login(answer->body, &grant, &fault);
    else if (!failed)
        failed = vault_refusal("the renewal of its login", answer, &fault);
    secret_free(grant.token);
    /* An outage: the token may still live, and the next call says so. At its maximum: the next read logs in
     * anew. */
    if (failed && !store_is_away(failed) && vault->own)
        vault_forget_login(vault);
    if (!failed && grant.life >= vault->life / 2)
        vault_plan_renewal(vault);
    else if (store_is_away(failed))
        vault_plan_renewal(vault);
}

static void renew_login(evutil_socket_t fd, short what, void *context)
{
    Vault *vault = context;
    (void)fd, (void)what;
    if (!vault->token)
        return;
    if (!vault->renewable) {
        vault_forget_login(vault); /* before it dies in the middle of something */
        return;
    }
    VaultCall call = {.method = "POST", .path = "auth/token/renew-self", .token = vault->token};
    vault_call(vault, &call, on_login_renewed, vault);
}

Store *store_vault_new(const VaultConfig *config, StoreClient *client, const Stores *stores,
                       struct event_base *base, uint64_t seed)
{
    static const StoreDriver driver = {.name = "vault",
                                       .fetch = vault_fetch,
                                       .renew = vault_renew,
                                       .give_back = vault_give_back,
                                       .close = vault_close,
                                       .free = vault_free};
    Vault *vault = MEM_NEW(Vault);
    *vault = (Vault){.store = {&driver, config->life},
                     .config = config,
                     .stores = stores,
                     .client = client,
                     .seed = seed,
                     .space = config->space[0] ? mem_printf("X-Vault-Namespace: %s", config->space) : NULL,
                     .server = {"Vault", &config->origin, config->server_name, config->ca_file,
                                config->cert_file, config->key_file}};
    vault->renewal = evtimer_new(base, renew_login, vault);
    TAILQ_INIT(&vault->waiting);
    return &vault->store;
}
