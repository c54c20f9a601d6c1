/* Tokens from their stores. See token.h. */
#include "keeper/token.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/keeper.h"
#include "keeper/setup.h"

#include <errno.h>
#include <stdio.h>

typedef struct Fetched {
    int result;
    StoredToken token;
    Fault fault;
} Fetched;

static void on_fetched(void *context, int result, StoredToken *token, const Fault *fault)
{
    Fetched *fetched = context;
    fetched->result = result;
    if (result == 0)
        fetched->token = *token;
    else if (fault)
        fetched->fault = *fault;
}

static void fetch(Keeper *keeper, const TokenRef *ref, Fetched *ret_fetched)
{
    *ret_fetched = (Fetched){.result = STORE_E_ABSENT};
    Fault *fault = &ret_fetched->fault;
    Store *store = NULL;
    switch (ref->kind) {
    case STORE_KEYRING:
        store = keeper->keyring;
        if (!store)
            fault_set(fault, 0, "%s", keeper->keyring_fault);
        break;
    case STORE_FILE:
        store = keeper->file;
        break;
    case STORE_KUBERNETES:
    case STORE_VAULT:
        fault_set(fault, 0, "the %s store is not built in yet: put the token into the keyring or a file",
                  ref->kind == STORE_VAULT ? "vault" : "kubernetes");
        break;
    case STORE_NONE:
        fault_set(fault, 0, "no token is named: say `token: {keyring: NAME}`");
        break;
    }
    if (store)
        store->driver->fetch(store, ref, on_fetched, ret_fetched);
    keeper->opened = true;
}

/* Whoever edits apiUrl or a policy gains nothing: the token says where it may go. A host that it may not go
 * to is closed alone. */
static char *why_not(const StoredToken *token, const TokenRef *ref, const char *host)
{
    for (size_t i = 0; i < token->n_host; i++)
        if (slice_equal_nocase(slice_of(token->host[i]), slice_of(host)))
            return NULL;
    if (token->n_host == 0)
        return NULL;
    return mem_printf(
        "the token %s may not go to %s: it is for %s%s; `purser token set %s --host %s` stores it for "
        "that host",
        ref->name, host, token->host[0], token->n_host > 1 ? " and others" : "", ref->name, host);
}

static bool close_hosts(Upstream *upstream, const StoredToken *token, Fault *fault)
{
    for (uint32_t i = 0; i < source_hosts(&upstream->source); i++)
        if (upstream->endpoint[i].use != HOST_ARTIFACT)
            upstream->endpoint[i].closed =
                why_not(token, &upstream->source.token, upstream->endpoint[i].origin->host);
    const char *api = upstream->endpoint[0].closed;
    if (api)
        fault_set(fault, 0, "%s", api);
    return !api;
}

/* What is searched for in answers; the token is open only meanwhile. */
static int make_forms(Upstream *upstream)
{
    size_t len = secret_len(upstream->token);
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(upstream->token, plain, len) : -ENOMEM;
    r = r ? r : scrub_forms_new((Slice){plain, len}, &upstream->forms);
    secret_release(plain, len);
    return r;
}

static void fetch_source(Keeper *keeper, Upstream *upstream)
{
    Fetched fetched;
    fetch(keeper, &upstream->source.token, &fetched);
    if (fetched.result == 0 && close_hosts(upstream, &fetched.token, &fetched.fault)) {
        upstream->token = STEAL(fetched.token.token);
        if (make_forms(upstream) != 0) {
            upstream->token = secret_free(upstream->token);
            fault_set(&fetched.fault, 0, "there is no locked memory left for the token");
        }
    }
    stored_token_done(&fetched.token);
    if (!upstream->token)
        upstream->missing = mem_printf("source %s has no token: %s", upstream->source.name,
                                       fetched.fault.text[0] ? fetched.fault.text : "the store has none");
    AuditEvent event = {.event = "token.fetch",
                        .source = upstream->source.name,
                        .code = upstream->token ? NULL : "token-missing",
                        .sentence = upstream->missing};
    audit_add(keeper->audit, &event);
}

int token_fetch_all(Keeper *keeper)
{
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        Upstream *upstream = &keeper->upstream[i];
        unsigned char room[2048];
        WireWriter wire = WIRE_WRITER(room);
        KeeperToken token = {.source = upstream->index};
        if (upstream->used)
            fetch_source(keeper, upstream);
        else
            upstream->missing =
                mem_printf("source %s is used by no retriever of this call", upstream->source.name);
        token.found = upstream->token != NULL;
        snprintf(token.sentence, sizeof(token.sentence), "%s", token.found ? "" : upstream->missing);
        keeper_token_put(&token, &wire);
        int r =
            wire.failed ? -EMSGSIZE : setup_tell(keeper, IPC_KEEPER_TOKEN, (Slice){(char *)room, wire.len});
        if (r)
            return r;
    }
    return 0;
}

static int pass_on(const IpcPeer *clerk, const Sealed *token)
{
    size_t len = secret_len(token);
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    r = r ? r : ipc_send(clerk, IPC_CREDENTIAL, (Slice){plain, len}, NULL, 0);
    secret_release(plain, len);
    return r;
}

int token_send_credential(Keeper *keeper, Slice payload, int clerk_fd)
{
    CLEANUP_FD int fd = clerk_fd;
    TokenRef ref;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    int r = token_ref_get(&wire, &ref);
    if (r)
        return r;
    IpcPeer clerk = {fd, IPC_KEEPER, IPC_CLERK, IPC_OPEN};
    Fetched fetched;
    fetch(keeper, &ref, &fetched);
    r = fetched.result ? ipc_send(&clerk, IPC_CREDENTIAL_FAULT, slice_of(fetched.fault.text), NULL, 0)
                       : pass_on(&clerk, fetched.token.token);
    AuditEvent event = {.event = "credential.send",
                        .code = fetched.result ? "token-missing" : NULL,
                        .sentence = fetched.result ? fetched.fault.text : NULL};
    audit_add(keeper->audit, &event);
    stored_token_done(&fetched.token);
    token_ref_done(&ref);
    return r == -EPROTO ? r : 0; /* a clerk that has ended is its own trouble */
}
