/* Minting over HTTPS. See mint.h. */
#include "store/mint.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/answer.h"
#include "store/jwt.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define SKEW_US       (30L * CLOCK_SECOND)
#define MOST_LIFE_S   (366u * 86400)
#define RETRY_LIFE_US (300ull * CLOCK_SECOND)

typedef struct Minter {
    Store store;
    StoreClient *client;
    const Stores *stores;
} Minter;

typedef struct Job {
    Minter *minter;
    TokenRef ref; /* a copy */
    Origin origin;
    StoreServer server;
    const char *host; /* of `url`, where the server is dialled elsewhere */
    Sealed *secret;
    int64_t skew; /* us: the server's clock against ours */
    bool again;
    unsigned calls;
    StoreDone *done;
    void *context;
    Origin dialled; /* connectTo */
} Job;

static void job_done(Job *job, StoreResult *result)
{
    StoreDone *done = job->done;
    void *context = job->context;
    result->calls = job->calls;
    secret_free(job->secret);
    origin_done(&job->origin);
    origin_done(&job->dialled);
    token_ref_done(&job->ref);
    mem_free(job);
    done(context, result);
    stored_token_done(&result->token);
}

static void job_fail(Job *job, int failed, const Fault *fault)
{
    StoreResult result = {.result = failed, .fault = *fault};
    job_done(job, &result);
}

static int64_t their_now(const Job *job)
{
    return (clock_wall() + job->skew) / CLOCK_SECOND;
}

/* The server that `url` names, dialled where its source is. */
static int find_server(Job *job, const char *label, Fault *fault)
{
    const Mint *mint = job->ref.mint;
    int r = origin_parse(slice_of(mint->url), &job->origin, fault);
    if (r)
        return r;
    job->server = (StoreServer){label, &job->origin, "", mint->ca_file, "", ""};
    const char *colon = strrchr(mint->connect_to, ':');
    uint64_t port = 0;
    if (!colon)
        return 0;
    Slice host = {mint->connect_to, (size_t)(colon - mint->connect_to)};
    if (slice_starts(host, "["))
        host = (Slice){host.ptr + 1, host.len - 2};
    r = text_parse_u64(slice_of(colon + 1), UINT16_MAX, &port);
    job->dialled =
        (Origin){job->origin.tls, mem_dup(host.ptr, host.len), (uint16_t)port, mem_strdup(job->origin.base)};
    job->server.origin = &job->dialled;
    job->server.server_name = job->origin.host;
    return r;
}

static Job *job_new(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    Job *job = MEM_NEW(Job);
    *job = (Job){.minter = (Minter *)store, .ref = token_ref_dup(ref), .done = done, .context = context};
    return job;
}

static int refusal(const Job *job, const StoreAnswer *answer, Fault *fault)
{
    char said[256];
    answer_error(answer->status, answer->body, said);
    bool outage = answer->status >= 500 || answer->status == 429 || answer->status < 400;
    return fault_set(fault, outage ? STORE_E_OUTAGE : STORE_E_DENIED, "%s at %s minted no token (%d)%s%s",
                     job->server.label, job->origin.host, answer->status, said[0] ? ": " : "", said);
}

static int take_minted(const json_t *json, const char *key, uint64_t life, StoredToken *ret_token,
                       Fault *fault)
{
    const char *text = answer_text(json, key);
    StoredToken token = {.fetched = clock_wall(), .leased = true, .life = life};
    if (!text)
        return fault_set(fault, STORE_E_DAMAGED, "the answer holds no %s", key);
    int r = store_seal("the minted token", slice_of(text), false, &token.token, fault);
    if (r == 0)
        *ret_token = token;
    return r;
}

/* GitHub */

int mint_github_claims(const char *app_id, int64_t now, Buf *claims)
{
    JsonWriter json = JSON_WRITER(claims);
    json_object_begin(&json, NULL);
    json_i64(&json, "iat", now - 60); /* as GitHub advises, against clocks that differ */
    json_i64(&json, "exp", now + 540);
    json_text(&json, "iss", app_id);
    json_object_end(&json);
    return json_finish(&json);
}

static int github_body(const Mint *mint, Buf *body)
{
    CLEANUP_JSON json_t *json = json_object();
    if (mint->n_list) {
        json_t *list = json_array();
        for (size_t i = 0; i < mint->n_list; i++)
            json_array_append_new(list, json_string(mint->list[i]));
        json_object_set_new(json, "repositories", list);
    }
    json_t *permissions = mint->scope[0] ? json_loads(mint->scope, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (permissions)
        json_object_set_new(json, "permissions", permissions);
    *body = BUF_INIT(STORE_MAX_REQUEST);
    return answer_dump(json, body);
}

static uint64_t github_life(const Job *job, const json_t *json)
{
    const char *text = answer_text(json, "expires_at");
    int64_t at = 0;
    if (!text || clock_parse(slice_of(text), &at) || at <= clock_wall() + job->skew)
        return RETRY_LIFE_US; /* it does not say: another one soon */
    return (uint64_t)(at - clock_wall() - job->skew);
}

static void ask_github(Job *job);

/* A clock that is wrong makes a JWT that GitHub does not take: once more, by GitHub's own. */
static bool try_their_clock(Job *job, const StoreAnswer *answer)
{
    int64_t skew = answer->date ? answer->date - clock_wall() : 0;
    if (answer->status != 401 || job->again || (skew < SKEW_US && skew > -SKEW_US))
        return false;
    job->again = true;
    job->skew = skew;
    ask_github(job);
    return true;
}

static void on_github(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    Job *job = context;
    StoreResult result = {.result = failed, .fault = *fault};
    job->calls++;
    if (!failed && try_their_clock(job, answer))
        return;
    if (!failed && answer->status != 201) {
        result.result = refusal(job, answer, &result.fault);
        result.retry_after = answer->retry_after;
    } else if (!failed) {
        CLEANUP_JSON json_t *json = answer_json(answer->body);
        if (answer->date)
            job->skew = answer->date - clock_wall();
        result.result = take_minted(json, "token", github_life(job, json), &result.token, &result.fault);
    }
    job_done(job, &result);
}

static void ask_github(Job *job)
{
    CLEANUP_BUF Buf claims = BUF_INIT(1024);
    const Mint *mint = job->ref.mint;
    CLEANUP_MEM char *path = mem_printf("/app/installations/%s/access_tokens", mint->account);
    Sealed *jwt = NULL;
    Fault fault = {""};
    StoreCall call = {.server = &job->server,
                      .method = "POST",
                      .path = path,
                      .header = {"Accept: application/vnd.github+json", "Content-Type: application/json",
                                 "User-Agent: purser", "X-GitHub-Api-Version: 2022-11-28"},
                      .credential = "Authorization: Bearer "};
    int r = mint_github_claims(mint->id, their_now(job), &claims);
    r = r ? fault_set(&fault, STORE_E_DAMAGED, "the app's id is too long")
          : jwt_sign(job->secret, "", buf_slice(&claims), &jwt, &fault);
    if (r == 0 && github_body(mint, &call.body))
        r = fault_set(&fault, STORE_E_DAMAGED, "the list of repositories is too long");
    if (r) {
        buf_done(&call.body);
        secret_free(jwt);
        job_fail(job, r, &fault);
        return;
    }
    call.token = jwt;
    store_client_call(job->minter->client, &call, on_github, job);
    secret_free(jwt);
}

static void on_given_back(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    Job *job = context;
    StoreResult result = {.result = failed, .fault = *fault};
    job->calls++;
    if (!failed && answer->status != 204)
        result.result = refusal(job, answer, &result.fault);
    job_done(job, &result);
}

static void github_give_back(Store *store, const TokenRef *ref, const StoredToken *token, StoreDone *done,
                             void *context)
{
    Job *job = job_new(store, ref, done, context);
    Fault fault = {""};
    StoreCall call = {.server = &job->server,
                      .method = "DELETE",
                      .path = "/installation/token",
                      .header = {"Accept: application/vnd.github+json", "User-Agent: purser"},
                      .credential = "Authorization: Bearer ",
                      .token = token->token};
    int r = find_server(job, "GitHub", &fault);
    if (r)
        job_fail(job, STORE_E_DAMAGED, &fault);
    else
        store_client_call(job->minter->client, &call, on_given_back, job);
}

/* OAuth 2 */

static int put_form(Buf *body, const char *key, const char *value)
{
    int r = buf_printf(body, body->len ? "&%s=" : "%s=", key);
    for (const unsigned char *p = (const unsigned char *)value; *p && r == 0; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~", *p);
        r = plain ? buf_append(body, p, 1) : buf_printf(body, "%%%02X", *p);
    }
    return r;
}

static int put_form_secret(Buf *body, const char *key, const Sealed *secret)
{
    size_t len = secret_len(secret);
    char *plain = secret_alloc(len + 1);
    int r = plain ? secret_open(secret, plain, len) : -ENOMEM;
    r = r ? r : put_form(body, key, plain);
    secret_release(plain, len + 1);
    return r;
}

/* RFC 6749, 2.3.1: the name and the secret, each encoded as in a form, as the user and password of Basic. */
static int make_basic(const char *id, const Sealed *secret, Sealed **ret_basic)
{
    CLEANUP_BUF Buf pair = BUF_INIT(3 * SECRET_MAX_TOKEN), name = BUF_INIT(4096),
                    word = BUF_INIT(3 * SECRET_MAX_TOKEN);
    int r = put_form(&name, "", id);
    r = r ? r : put_form_secret(&word, "", secret);
    r = r ? r : buf_append(&pair, name.data + 1, name.len - 1);
    r = r ? r : buf_append(&pair, ":", 1);
    r = r ? r : buf_append(&pair, word.data + 1, word.len - 1);
    size_t room = sodium_base64_encoded_len(pair.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = r == 0 ? secret_alloc(room) : NULL;
    if (!text)
        return r ? r : -ENOMEM;
    sodium_bin2base64(text, room, (const unsigned char *)pair.data, pair.len, sodium_base64_VARIANT_ORIGINAL);
    r = secret_seal((Slice){text, room - 1}, ret_basic);
    secret_release(text, room);
    return r;
}

static int make_assertion(const Job *job, Sealed **ret_jwt, Fault *fault)
{
    CLEANUP_BUF Buf claims = BUF_INIT(4096);
    JsonWriter json = JSON_WRITER(&claims);
    const Mint *mint = job->ref.mint;
    unsigned char random[16];
    char id[sizeof(random) * 2 + 1];
    randombytes_buf(random, sizeof(random));
    text_hex(id, random, sizeof(random));
    json_object_begin(&json, NULL);
    json_text(&json, "iss", mint->id);
    json_text(&json, "sub", mint->id);
    json_text(&json, "aud", mint->url);
    json_text(&json, "jti", id);
    json_i64(&json, "iat", their_now(job));
    json_i64(&json, "exp", their_now(job) + 300);
    json_object_end(&json);
    return json_finish(&json) ? fault_set(fault, STORE_E_DAMAGED, "the client's id is too long")
                              : jwt_sign(job->secret, mint->account, buf_slice(&claims), ret_jwt, fault);
}

static int oauth_body(Job *job, StoreCall *call, Sealed **ret_sealed, Fault *fault)
{
    const Mint *mint = job->ref.mint;
    call->body = BUF_INIT(STORE_MAX_REQUEST);
    int r = put_form(&call->body, "grant_type", "client_credentials");
    if (r == 0 && mint->scope[0])
        r = put_form(&call->body, "scope", mint->scope);
    if (r == 0 && !mint->assertion)
        r = make_basic(mint->id, job->secret, ret_sealed);
    if (r || !mint->assertion)
        return r ? fault_set(fault, STORE_E_DAMAGED, "the request for a token cannot be made") : 0;
    r = make_assertion(job, ret_sealed, fault);
    if (r)
        return r;
    r = put_form(&call->body, "client_id", mint->id);
    r = r ? r
          : put_form(&call->body, "client_assertion_type",
                     "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    r = r ? r : put_form_secret(&call->body, "client_assertion", *ret_sealed);
    return r ? fault_set(fault, STORE_E_DAMAGED, "the request for a token cannot be made") : 0;
}

static void ask_oauth(Job *job);

static void on_oauth(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    Job *job = context;
    StoreResult result = {.result = failed, .fault = *fault};
    job->calls++;
    int64_t skew = !failed && answer->date ? answer->date - clock_wall() : 0;
    if (!failed && answer->status >= 400 && answer->status < 402 && job->ref.mint->assertion && !job->again &&
        (skew > SKEW_US || skew < -SKEW_US)) {
        job->again = true;
        job->skew = skew;
        ask_oauth(job);
        return;
    }
    if (!failed && answer->status != 200) {
        result.result = refusal(job, answer, &result.fault);
        result.retry_after = answer->retry_after;
    } else if (!failed) {
        CLEANUP_JSON json_t *json = answer_json(answer->body);
        uint64_t life = answer_number(json, "expires_in", MOST_LIFE_S) * CLOCK_SECOND;
        result.result =
            take_minted(json, "access_token", life ? life : RETRY_LIFE_US, &result.token, &result.fault);
    }
    job_done(job, &result);
}

static void ask_oauth(Job *job)
{
    Sealed *sealed = NULL;
    Fault fault = {""};
    bool basic = !job->ref.mint->assertion;
    StoreCall call = {
        .server = &job->server,
        .method = "POST",
        .path = "",
        .header = {"Accept: application/json", "Content-Type: application/x-www-form-urlencoded"},
        .credential = "Authorization: Basic "};
    int r = oauth_body(job, &call, &sealed, &fault);
    if (r) {
        buf_done(&call.body);
        secret_free(sealed);
        job_fail(job, r, &fault);
        return;
    }
    call.token = basic ? sealed : NULL;
    call.hidden = basic ? job->secret : sealed;
    store_client_call(job->minter->client, &call, on_oauth, job);
    secret_free(sealed);
}

/* Both */

static void on_secret(void *context, StoreResult *secret)
{
    Job *job = context;
    bool github = job->ref.kind == STORE_GITHUB_APP;
    Fault fault = secret->fault;
    job->calls += secret->calls;
    int r = secret->result;
    if (r)
        fault_prefix(&fault, r, github ? "the GitHub App's private key" : "the OAuth 2 client's secret");
    else
        r = find_server(job, github ? "GitHub" : "The OAuth 2 server", &fault);
    if (r) {
        job_fail(job, r, &fault);
        return;
    }
    job->secret = STEAL(secret->token.token);
    if (github)
        ask_github(job);
    else
        ask_oauth(job);
}

static void mint_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    Job *job = job_new(store, ref, done, context);
    stores_fetch(job->minter->stores, &job->ref.mint->secret, on_secret, job);
}

static Store *mint_free(Store *store)
{
    mem_free(store);
    return NULL;
}

static Store *make(const StoreDriver *driver, StoreClient *client, const Stores *stores)
{
    static const StoreLife life = {300ull * CLOCK_SECOND, 3600ull * CLOCK_SECOND, 0};
    Minter *minter = MEM_NEW(Minter);
    *minter = (Minter){{driver, life}, client, stores};
    return &minter->store;
}

Store *store_github_app_new(StoreClient *client, const Stores *stores)
{
    static const StoreDriver driver = {
        .name = "githubApp", .fetch = mint_fetch, .give_back = github_give_back, .free = mint_free};
    return make(&driver, client, stores);
}

Store *store_oauth2_new(StoreClient *client, const Stores *stores)
{
    static const StoreDriver driver = {.name = "oauth2", .fetch = mint_fetch, .free = mint_free};
    return make(&driver, client, stores);
}
