/* Vault's and OpenBao's API as a rotation needs it, with a token of a person's or a Job's: calls that are
 * waited for, and secrets of both versions of KV. Everything that the server says is bounded and checked.
 * Runs in purser-rotate.
 */
#pragma once

#include "base/json.h"
#include "rotate/api.h"
#include "rotate/vault-read.h"

typedef struct VaultApi {
    const RotateSetup *setup;
    Api api;
    char *space;       /* a header; NULL: none */
    Sealed *token;     /* Vault's; of --vault-auth with what follows: */
    char *login_space; /* the header of the login's namespace; NULL: none */
    int64_t old, dead; /* mono us: another login is made before the next call; it is over */
    bool kv1;          /* secrets have no versions, and no check-and-set */
} VaultApi;

/* Reads --vault-token, or logs in. Borrows setup. `space`: the namespace; "": none. -errno with a sentence;
 * vault_api_done() then too. */
int vault_api_init(VaultApi *api, const RotateSetup *setup, const char *space, Fault *fault) MUST_USE;
void vault_api_done(VaultApi *api);

/* path: after /v1/. See api_call(). */
int vault_ask(VaultApi *api, ApiCall *call, Fault *fault) MUST_USE;
/* The same in another namespace than the api's, without looking at the login's age. `space`: a header, or
 * NULL. */
int vault_ask_in(VaultApi *api, const char *space, ApiCall *call, Fault *fault) MUST_USE;

/* --vault-auth. A login that is half through its life is replaced, since a rotation may wait for longer than
 * that; what is given up is given back. 0 too where there is no such login. */
int vault_login_keep(VaultApi *api, Fault *fault) MUST_USE;
void vault_login_end(VaultApi *api);

/* Of a status that was not hoped for: -ESTALE (check-and-set), STORE_E_OUTAGE, STORE_E_DENIED with a
 * sentence. */
int vault_api_refusal(const ApiCall *call, Fault *fault);

typedef int VaultTake(void *context, const VaultSecret *secret, Fault *fault);
/* take() is called if it is there. *ret_version also of one that was deleted. */
int vault_kv_read(VaultApi *api, const char *path, VaultTake *take, void *context, uint64_t *ret_version,
                  Fault *fault) MUST_USE;
/* The body of a write that checks for `version`, and the write; *version is then the new one. The body may be
 * made within a take(), where its `data` lives. */
int vault_kv_dump(const VaultApi *api, json_t *data, uint64_t version, Buf *ret_body, Fault *fault) MUST_USE;
int vault_kv_send(VaultApi *api, const char *path, Buf *body, uint64_t *version, Fault *fault) MUST_USE;
int vault_kv_write(VaultApi *api, const char *path, json_t *data, uint64_t *version, Fault *fault) MUST_USE;
int vault_delete(VaultApi *api, const char *path, Fault *fault) MUST_USE; /* 0 too where there was none */
/* KV 2: versions from ... to of a secret, also where they are gone already. `path`: MOUNT/destroy/SECRET. */
int vault_kv_destroy(VaultApi *api, const char *path, uint64_t from, uint64_t to, Fault *fault) MUST_USE;

/* Whether the mount that `path` is of is KV 1: STORE_E_DENIED with a sentence if it is something else. */
int vault_check_kv1(VaultApi *api, const char *path, Fault *fault) MUST_USE;

/* Every right of these that the token has not, in one sentence: STORE_E_DENIED. */
int vault_may(VaultApi *api, const VaultRight *right, size_t n, Fault *fault) MUST_USE;
