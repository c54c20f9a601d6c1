/* Calls to a source's own API. See provider.h. */
#include "rotate/provider-private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/answer.h"

#include <errno.h>
#include <sodium.h>

#define SKEW_US (30L * CLOCK_SECOND)

/* One answer, taken out of the loop. */
typedef struct Call {
    ProviderLink *link;
    int status;
    int64_t date; /* the provider's clock; 0: it does not say */
    char said[256];
    Account *account; /* NULL: not wanted */
    Sealed *made;     /* of an answer to renew */
    bool renews;
    const char *body; /* "": none */
    Fault *fault;
} Call;

static char *make_credential(const RotateSetup *setup)
{
    const Auth *auth = &setup->source.source.auth;
    switch (setup->app ? AUTH_BEARER : auth->scheme) {
    case AUTH_HEADER:
        return mem_printf("%s: ", auth->header);
    case AUTH_TOKEN:
        return mem_strdup("Authorization: token ");
    case AUTH_BASIC:
        return mem_strdup("Authorization: Basic ");
    default:
        return mem_strdup("Authorization: Bearer ");
    }
}

int provider_open(const RotateSetup *setup, ProviderLink **ret_link, Fault *fault)
{
    const Source *source = &setup->source.source;
    if (setup->approle)
        return approle_open(setup, ret_link, fault);
    const char *probe = setup->rotation.account[0] ? setup->rotation.account : setup->probe;
    if (!*probe)
        return fault_set(
            fault, -ENOTSUP,
            "%s has no provider that purser knows, so no call that tells whether a token works: put the "
            "new one there with `purser token set`, and retire the old one by hand",
            source->name);
    ProviderLink *link = MEM_NEW(ProviderLink);
    *link = (ProviderLink){.setup = setup,
                           .probe = probe,
                           .label = mem_printf("the API of %s", source->name),
                           .credential = make_credential(setup)};
    link->server = (StoreServer){link->label, &source->api, "", source->ca_file, "", "", source};
    int r = link_init(&link->link, setup, &link->server, fault);
    if (r) {
        provider_close(link);
        return r;
    }
    *ret_link = link;
    return 0;
}

ProviderLink *provider_close(ProviderLink *link)
{
    if (!link)
        return NULL;
    link_done(&link->link);
    if (link->vault)
        vault_api_done(link->vault);
    mem_free(link->vault);
    mem_free(link->role);
    mem_free(link->label);
    mem_free(link->credential);
    mem_free(link);
    return NULL;
}

/* RFC 7617: base64 of user:TOKEN. */
static int make_basic(const char *user, const Sealed *token, Sealed **ret_basic)
{
    size_t n = strlen(user), len = secret_len(token), room = n + 1 + len;
    size_t text_room = sodium_base64_encoded_len(room, sodium_base64_VARIANT_ORIGINAL);
    char *pair = secret_alloc(room), *text = secret_alloc(text_room);
    int r = pair && text ? secret_open(token, pair + n + 1, len) : -ENOMEM;
    if (r == 0) {
        memcpy(pair, user, n);
        pair[n] = ':';
        sodium_bin2base64(text, text_room, (const unsigned char *)pair, room, sodium_base64_VARIANT_ORIGINAL);
        r = secret_seal((Slice){text, text_room - 1}, ret_basic);
    }
    secret_release(pair, room);
    secret_release(text, text_room);
    return r;
}

static void on_answer(void *context, StoreAnswer *answer)
{
    Call *call = context;
    call->status = answer->status;
    call->date = answer->date;
    if (answer->status >= 300)
        answer_error(answer->status, answer->body, call->said);
    else if (call->renews)
        (void)!account_read_made(&call->link->setup->rotation, answer->body, &call->made, call->fault);
    else if (call->account)
        account_read(&call->link->setup->rotation, answer->body, answer->wanted, call->account);
}

/* 0: there is an answer, whatever its status. */
static int ask(ProviderLink *link, const char *method, const char *path, const Sealed *token, Call *call)
{
    const Auth *auth = &link->setup->source.source.auth;
    const char *wanted = link->setup->rotation.scopes_header;
    Sealed *made = NULL; /* of the token, and sent in its place */
    int r = 0;
    if (link->setup->app)
        r = app_sign(link, token, &made, call->fault);
    else if (auth->scheme == AUTH_BASIC && make_basic(auth->user, token, &made))
        r = fault_set(call->fault, -ENOMEM, "the locked memory is used up");
    if (r)
        return r;
    StoreCall request = {.method = method,
                         .path = path,
                         .header = {"User-Agent: purser", "Accept: application/json",
                                    call->body ? "Content-Type: application/json" : NULL},
                         .body = BUF_INIT(STORE_MAX_REQUEST),
                         .once = call->renews,
                         .credential = link->credential,
                         .token = made ? made : token,
                         .hidden = token,
                         .wanted = *wanted ? wanted : NULL};
    call->link = link;
    if (call->body && buf_append_text(&request.body, call->body) != 0)
        r = fault_set(call->fault, -ENOBUFS, "the request is too long");
    r = r ? r : link_call(&link->link, &request, on_answer, call, call->fault);
    secret_free(made);
    return r;
}

static int refusal(const ProviderLink *link, const Call *call, const char *what)
{
    return fault_set(
        call->fault, call->status == 429 || call->status >= 500 ? STORE_E_OUTAGE : STORE_E_DENIED,
        "%s answered %s with %d%s%s", link->label, what, call->status, call->said[0] ? ": " : "", call->said);
}

/* What is signed by a clock that is wrong is refused like a dead key: then once more, by the provider's own
 * clock. */
static bool wrong_clock(ProviderLink *link, const Call *call)
{
    int64_t skew = call->date ? call->date - clock_wall() : link->skew, moved = skew - link->skew;
    if (!link->setup->app || call->status != 401 || (moved < SKEW_US && moved > -SKEW_US))
        return false;
    link->skew = skew;
    return true;
}

int provider_probe(ProviderLink *link, const Sealed *token, RotateLife *ret_life, Account *ret_account,
                   Fault *fault)
{
    if (link->vault)
        return approle_probe(link, token, ret_life, ret_account, fault);
    Account account = {0};
    Call call = {.account = &account, .fault = fault};
    int r = ask(link, "GET", link->probe, token, &call);
    if (r == 0 && wrong_clock(link, &call))
        r = ask(link, "GET", link->probe, token, &call);
    if (r == 0 && call.status != 401 && (call.status < 200 || call.status > 299))
        r = refusal(link, &call, link->probe);
    if (r) {
        account_done(&account);
        return r;
    }
    *ret_life = call.status == 401 ? ROTATE_DEAD : ROTATE_WORKS;
    *ret_account = account;
    return 0;
}

bool provider_can_retire(const ProviderLink *link)
{
    return link->vault || link->setup->rotation.retire[0];
}

bool provider_makes(const ProviderLink *link)
{
    return link->vault != NULL;
}

int provider_make(ProviderLink *link, Sealed **ret_token, Fault *fault)
{
    return approle_make(link, ret_token, fault);
}

int provider_may(ProviderLink *link, Fault *fault)
{
    return link->vault ? approle_may(link, fault) : 0;
}

int provider_retire(ProviderLink *link, const Sealed *token, Fault *fault)
{
    if (link->vault)
        return approle_retire(link, token, fault);
    Call call = {.fault = fault};
    int r = ask(link, "DELETE", link->setup->rotation.retire, token, &call);
    if (r == 0 && (call.status < 200 || call.status > 299) && call.status != 401)
        r = refusal(link, &call, "the call that retires a token");
    return r;
}

/* {"expires_at":"2027-01-02"}: the day, in UTC. */
static int make_body(const Rotation *rotation, uint64_t life, Buf *body)
{
    char day[CLOCK_TEXT];
    JsonWriter json = JSON_WRITER(body);
    clock_format(day, clock_wall() + (int64_t)life);
    json_object_begin(&json, NULL);
    if (life && rotation->renew_expires[0])
        json_slice(&json, rotation->renew_expires, (Slice){day, 10});
    json_object_end(&json);
    return json_finish(&json);
}

int provider_renew(ProviderLink *link, const Sealed *token, uint64_t life, Sealed **ret_token,
                   bool *ret_under_way, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(256);
    Call call = {.fault = fault, .renews = true};
    *ret_under_way = false;
    if (make_body(&link->setup->rotation, life, &body) != 0)
        return fault_set(fault, STORE_E_DAMAGED, "the question is too long");
    call.body = buf_text(&body);
    int r = ask(link, "POST", link->setup->rotation.renew, token, &call);
    if (r == 0 && call.made) {
        *ret_token = call.made;
        return 0;
    }
    /* A refusal was said by who would have done it; anything else says nothing about that. */
    *ret_under_way =
        r != 0 || call.status < 400 || call.status >= 500 || call.status == 408 || call.status == 429;
    if (r)
        return r;
    if (call.status >= 200 && call.status < 300)
        return fault_set(fault, STORE_E_DAMAGED, "%s answered %d, and its answer holds no new token",
                         link->label, call.status);
    return refusal(link, &call, "the call that makes a new token");
}
