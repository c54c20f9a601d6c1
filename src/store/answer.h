/* What the stores' answers say, taken out of their JSON. Pure: no network, no clock; everything here is a
 * stranger's. The JSON's own text is freed with it, and so wiped in the keeper.
 */
#pragma once

#include "base/buf.h"
#include "store/store.h"
#include "json/arena.h"

#include <jansson.h>

/* The body as a JSON object: nothing twice in it, nothing behind it, 64 levels at most. NULL: it is none. */
json_t *answer_json(Slice body);
/* jansson's memory is one (json/arena.h), and wiped as a whole: one answer, or one body, at a time. */
static inline void answer_free(json_t **json)
{
    json_decref(*json);
    json_arena_wipe();
}
#define CLEANUP_JSON CLEANUP(answer_free)

/* As compact text into a Buf, which wipes it. -ENOBUFS, -EINVAL. */
int answer_dump(const json_t *json, Buf *out) MUST_USE;

/* The text of a key, or NULL when it is none. Borrowed. */
const char *answer_text(const json_t *object, const char *key);
/* A number of 0 or more, bounded; 0 when it is none. */
uint64_t answer_number(const json_t *object, const char *key, uint64_t most);

/* What an error says of itself, short and printable, for a sentence: Vault's `errors`, Kubernetes' and
 * GitHub's `message`, OAuth's `error_description`. "" when it says nothing, and of a `status` below 300:
 * credentials are looked for in errors alone (client.h). */
void answer_error(int status, Slice body, char out[static 256]);

/* A token out of a mapping from key to text: `ref->key`, or with key "" the only one there is, or user and
 * password together as JSON. Beside it `hosts` (text with spaces, or a list) may say where it may go.
 * `base64`: the texts are (Kubernetes). */
int answer_take_token(const TokenRef *ref, const json_t *data, bool base64, StoredToken *ret_token,
                      Fault *fault) MUST_USE;

/* Vault: an answer to a read. Secrets of KV 2 have their version; what has a lease is renewed and given back.
 */
int answer_vault_secret(const TokenRef *ref, Slice body, StoredToken *ret_token, Fault *fault) MUST_USE;

/* A Secret of Kubernetes' API, and the answer to a TokenRequest. */
int answer_kubernetes_secret(const TokenRef *ref, Slice body, StoredToken *ret_token, Fault *fault) MUST_USE;
int answer_token_request(Slice body, StoredToken *ret_token, Fault *fault) MUST_USE;

typedef struct VaultGrant { /* of a login, a renewal, or a token looked up */
    Sealed *token;          /* NULL: none came */
    uint64_t life;          /* us; 0: for ever */
    bool renewable, batch;
} VaultGrant;

int answer_vault_login(Slice body, VaultGrant *ret_grant, Fault *fault) MUST_USE;
/* The token of `wrap_info`; NULL when the answer is not wrapped. */
int answer_vault_wrapped(Slice body, Sealed **ret_token, Fault *fault) MUST_USE;
/* The life of a renewed lease. */
int answer_vault_renewed(Slice body, uint64_t *ret_life, Fault *fault) MUST_USE;
/* One text of `data`, sealed. */
int answer_vault_field(Slice body, const char *key, Sealed **ret_text, Fault *fault) MUST_USE;
