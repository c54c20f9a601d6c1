/* Vault's and OpenBao's API as a rotation needs it, with a token of a person's or a Job's: calls that are
 * waited for, and secrets of both versions of KV. Everything that the server says is bounded and checked.
 * Runs in purser-rotate.
 */
#pragma once

#include "base/json.h"
#include "rotate/link.h"
#include "store/answer.h"

typedef struct VaultApi {
    const RotateSetup *setup;
    StoreServer server;
    Link link;
    char *space;       /* a header; NULL: none */
    Sealed *token;     /* Vault's; of --vault-auth with what follows: */
    char *login_space; /* the header of the login's namespace; NULL: none */
    int64_t old, dead; /* mono us: another login is made before the next call; it is over */
    bool kv1;          /* secrets have no versions, and no check-and-set */
    int64_t now;       /* wall us, by the server's clock, at its last answer */
} VaultApi;

/* Reads --vault-token, or logs in. Borrows setup. `space`: the namespace; "": none. -errno with a sentence;
 * vault_api_done() then too. */
int vault_api_init(VaultApi *api, const RotateSetup *setup, const char *space, Fault *fault) MUST_USE;
void vault_api_done(VaultApi *api);

typedef struct VaultAsk {
    const char *method, *path; /* after /v1/ */
    Buf *body;                 /* taken over, wiped; NULL: none */
    const Sealed *hidden;      /* in the body, in case an error repeats it; NULL: none */
    const Sealed *as;          /* another token to ask with; NULL: the api's */
    bool bare;                 /* without one: a login */
    /* The answer's JSON, whatever its status; borrowed. NULL: it is not wanted. */
    int (*take)(void *context, int status, const json_t *json, Fault *fault);
    void *context;
    int status;     /* out */
    char said[256]; /* out: of an error */
} VaultAsk;

/* 0: there was an answer, whatever its status. STORE_E_OUTAGE, and what take() said, with a sentence. */
int vault_ask(VaultApi *api, VaultAsk *ask, Fault *fault) MUST_USE;
/* The same in another namespace than the api's, without looking at the login's age. `space`: a header, or
 * NULL. */
int vault_ask_in(VaultApi *api, const char *space, VaultAsk *ask, Fault *fault) MUST_USE;

/* --vault-auth. A login that is half through its life is replaced, since a rotation may wait for longer than
 * that; what is given up is given back. 0 too where there is no such login. */
int vault_login_keep(VaultApi *api, Fault *fault) MUST_USE;
void vault_login_end(VaultApi *api);

/* Of a status that was not hoped for: -ESTALE (check-and-set), STORE_E_OUTAGE, STORE_E_DENIED with a
 * sentence. */
int vault_api_refusal(const VaultAsk *ask, Fault *fault);

/* A secret's values and, in KV 2, its version (0: there is none) and when that was made. */
typedef int VaultTake(void *context, const json_t *data, uint64_t version, int64_t made, Fault *fault);
/* take() is called if it is there. *ret_version also of one that was deleted. */
int vault_kv_read(VaultApi *api, const char *path, VaultTake *take, void *context, uint64_t *ret_version,
                  Fault *fault) MUST_USE;
/* The body of a write that checks for `version`, and the write; *version is then the new one. The body may be
 * made within a take(), where its `data` lives. */
int vault_kv_dump(const VaultApi *api, json_t *data, uint64_t version, Buf *ret_body, Fault *fault) MUST_USE;
int vault_kv_send(VaultApi *api, const char *path, Buf *body, uint64_t *version, Fault *fault) MUST_USE;
int vault_kv_write(VaultApi *api, const char *path, json_t *data, uint64_t *version, Fault *fault) MUST_USE;
int vault_delete(VaultApi *api, const char *path, Fault *fault) MUST_USE; /* 0 too where there was none */

/* Whether the mount that `path` is of is KV 1: STORE_E_DENIED with a sentence if it is something else. */
int vault_check_kv1(VaultApi *api, const char *path, Fault *fault) MUST_USE;

/* A text of a secret. *ret_token NULL: there is none. */
int vault_seal(const json_t *data, const char *key, Sealed **ret_token, Fault *fault) MUST_USE;
int vault_put(json_t *data, const char *key, const Sealed *token) MUST_USE; /* NULL: nothing. -errno */

typedef struct VaultRight {
    const char *capability, *path;
} VaultRight;
/* Every right of these that the token has not, in one sentence: STORE_E_DENIED. */
int vault_may(VaultApi *api, const VaultRight *right, size_t n, Fault *fault) MUST_USE;
