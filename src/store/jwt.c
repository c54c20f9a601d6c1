/* JSON Web Tokens. See jwt.h. */
#include "store/jwt.h"

#include "store/answer.h"

#include <errno.h>
#include <sodium.h>

#define MAX_CLAIMS (16u << 10)

/* The middle of three parts, decoded into the arena. NULL: it is no JWT. */
static json_t *read_claims(Slice jwt)
{
    Slice head, rest, claims, signature;
    size_t used = 0;
    if (!slice_cut(jwt, '.', &head, &rest) || !slice_cut(rest, '.', &claims, &signature) || head.len == 0 ||
        signature.len == 0 || memchr(signature.ptr, '.', signature.len) || claims.len > MAX_CLAIMS)
        return NULL;
    char *plain = secret_alloc(claims.len);
    json_t *json = NULL;
    if (plain && sodium_base642bin((unsigned char *)plain, claims.len, claims.ptr, claims.len, NULL, &used,
                                   NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0)
        json = answer_json((Slice){plain, used});
    secret_release(plain, claims.len);
    return json;
}

static bool is_only_audience(const json_t *aud, const char *audience)
{
    const json_t *one = json_is_array(aud) && json_array_size(aud) == 1 ? json_array_get(aud, 0) : aud;
    const char *text = json_string_value(one);
    return text && strcmp(text, audience) == 0; /* not secret */
}

int jwt_check_audience(Slice jwt, const char *audience, Fault *fault)
{
    CLEANUP_JSON json_t *claims = read_claims(jwt);
    if (!claims)
        return fault_set(fault, STORE_E_DENIED,
                         "what is there is no JWT (three parts of base64url with dots between)");
    const char *issuer = answer_text(claims, "iss");
    if (!is_only_audience(json_object_get(claims, "aud"), audience))
        return fault_set(
            fault, STORE_E_DENIED,
            "the JWT is not for the audience \"%s\" alone, so it could be used elsewhere too, and is not "
            "sent: mount a projected service-account token with `audience: %s`",
            audience, audience);
    if (issuer && strcmp(issuer, audience) == 0) /* not secret */
        return fault_set(
            fault, STORE_E_DENIED,
            "the JWT's audience is the API server that issued it, which would accept it as a login, so "
            "it is not sent: choose an audience of Vault's own");
    return 0;
}
