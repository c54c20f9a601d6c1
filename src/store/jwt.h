/* JSON Web Tokens (RFC 7519): reading the claims of one that somebody else signed, and signing our own
 * (RS256 or ES256, by the key's kind). Reading verifies nothing: whoever receives the token does that. */
#pragma once

#include "store/store.h"

/* That this JWT is for `audience` alone, and is none that the API server which issued it would itself accept:
 * its `aud` names exactly that, and that is not its issuer. STORE_E_DENIED with a sentence that holds nothing
 * of it. */
int jwt_check_audience(Slice jwt, const char *audience, Fault *fault) MUST_USE;

/* Signs these claims (a JSON object's text) by a private key in PEM; key_id "" for none. STORE_E_BAD_TOKEN
 * when it is no key that can. */
int jwt_sign(const Sealed *key, const char *key_id, Slice claims, Sealed **ret_jwt, Fault *fault) MUST_USE;

/* Of its public half, as GitHub shows it: base64 of the SHA-256 of its DER. -EINVAL: it is no private key. */
int jwt_fingerprint(const Sealed *key, char out[static 64]) MUST_USE;
