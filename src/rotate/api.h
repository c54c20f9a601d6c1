/* Asking a store's API: what Vault's and Kubernetes' have in common. Each call is waited for; what is secret
 * in it is wiped when it has ended. The answer is bounded and checked, its JSON is read by who asked, its
 * error is named. Runs in purser-rotate.
 */
#pragma once

#include "rotate/link.h"
#include "store/answer.h"

typedef struct Api {
    StoreServer server;
    Link link;
    int64_t now; /* wall us, by the server's clock, at its last answer */
} Api;

/* Borrows setup, and what server names. -errno with a sentence; api_done() then too. */
int api_init(Api *api, const RotateSetup *setup, StoreServer server, Fault *fault) MUST_USE;
void api_done(Api *api); /* a zeroed one too */
/* A login's token out of its file; `label`: "Vault's token", for sentences; `advice`: what else to say. */
int api_read_login(const char *label, const char *path, const char *advice, Sealed **ret_token,
                   Fault *fault) MUST_USE;

typedef struct ApiCall {
    const char *method, *path;
    const char *type;     /* of the body; NULL: JSON */
    Buf *body;            /* taken over, wiped; NULL: none */
    const Sealed *hidden; /* a token in the body, which an error may repeat; NULL: none */
    const Sealed *as;     /* another login to ask with; NULL: the server's own */
    bool bare;            /* without one */
    bool mute;            /* several tokens are in the body: an error is not quoted */
    /* The object of an answer with status 200 or 201; borrowed. 0, or an error with a sentence. NULL: it is
     * not wanted. */
    int (*take)(void *context, const json_t *json, Fault *fault);
    void *context;
    bool absent_too; /* ... or 404, if there is an object */
    int status;      /* out */
    char said[256];  /* out: of an error */
} ApiCall;

/* 0: there was an answer, whatever its status. STORE_E_OUTAGE, STORE_E_DAMAGED, and what take() said, with a
 * sentence. `credential`: its header's beginning; `header`: what else the server wants, n of them, nothing
 * secret. */
int api_call(Api *api, ApiCall *call, const char *credential, const Sealed *login, const char *const *header,
             size_t n, Fault *fault) MUST_USE;
static inline bool api_took(const ApiCall *call)
{
    return call->status == 200 || call->status == 201 || call->status == 204;
}
/* What kind of error it is that is neither a conflict nor missing: STORE_E_OUTAGE, STORE_E_DENIED. */
int api_kind(const ApiCall *call);
