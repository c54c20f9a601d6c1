/* Any bytes as the answer of a store, in each way that one is read, and as a JWT: no crash, a sentence for
 * every refusal, and a token that was taken is one that a request can carry. */
#include "base/mem.h"
#include "store/answer.h"
#include "store/jwt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_secret(Slice body, const char *key, bool base64)
{
    TokenRef ref = token_ref_new();
    StoredToken token = {0};
    Fault fault = {""};
    mem_free(ref.key);
    ref.key = mem_strdup(key);
    CLEANUP_JSON json_t *json = base64 ? answer_json(body) : NULL;
    int r = base64 ? answer_take_token(&ref, json_object_get(json, "data"), true, &token, &fault)
                   : answer_vault_secret(&ref, body, &token, &fault);
    if ((r != 0) != (fault.text[0] != '\0') || (r == 0) != (token.token != NULL))
        abort();
    stored_token_done(&token);
    token_ref_done(&ref);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started && secret_init(256u << 10, NULL))
        abort();
    started = true;
    Slice body = {(const char *)data, size};
    char said[256];
    VaultGrant grant = {0};
    Sealed *text = NULL;
    uint64_t life;
    Fault fault = {""};
    read_secret(body, "token", false);
    read_secret(body, "", false);
    read_secret(body, "token", true);
    answer_error(400, body, said);
    if (answer_vault_login(body, &grant, &fault) == 0)
        secret_free(grant.token);
    if (answer_vault_wrapped(body, &text, &fault) == 0)
        text = secret_free(text);
    if (answer_vault_field(body, "secret_id", &text, &fault) == 0)
        secret_free(text);
    if (answer_vault_renewed(body, &life, &fault) == 0 && life > 400000000ull * 1000000)
        abort();
    if (jwt_check_audience(body, "vault", &fault) && !fault.text[0])
        abort();
    return 0;
}
