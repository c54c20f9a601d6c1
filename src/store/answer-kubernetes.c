/* The JSON of Kubernetes' API. See answer.h. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/answer.h"

static json_t *open_answer(Slice body, Fault *fault)
{
    json_t *json = answer_json(body);
    if (!json)
        fault_set(fault, 0, "the Kubernetes API's answer is not the JSON that it should be");
    return json;
}

int answer_kubernetes_secret(const TokenRef *ref, Slice body, StoredToken *ret_token, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    if (!json)
        return STORE_E_DAMAGED;
    const json_t *metadata = json_object_get(json, "metadata");
    const char *version = answer_text(metadata, "resourceVersion");
    int r = answer_take_token(ref, json_object_get(json, "data"), true, ret_token, fault);
    if (r == 0 && version && strlen(version) < 64)
        ret_token->version = mem_strdup(version);
    return r;
}

int answer_token_request(Slice body, StoredToken *ret_token, Fault *fault)
{
    CLEANUP_JSON json_t *json = open_answer(body, fault);
    if (!json)
        return STORE_E_DAMAGED;
    const json_t *status = json_object_get(json, "status"), *spec = json_object_get(json, "spec");
    const char *text = answer_text(status, "token");
    StoredToken token = {.fetched = clock_wall(), .leased = true};
    if (!text)
        return fault_set(fault, STORE_E_DAMAGED, "the Kubernetes API's answer holds no token");
    int r = store_seal("the service account's token", slice_of(text), false, &token.token, fault);
    if (r)
        return r;
    /* What was granted, counted from now: this machine's clock may be wrong. */
    token.life = answer_number(spec, "expirationSeconds", 366 * 86400) * CLOCK_SECOND;
    *ret_token = token;
    return 0;
}
