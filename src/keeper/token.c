/* Tokens of sources. See token.h. */
#include "keeper/token.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/keeper.h"
#include "keeper/run.h"
#include "keeper/setup.h"

#include <errno.h>
#include <stdio.h>

void token_nothing(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
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
    if (ref->kind != STORE_KEYRING)
        return mem_printf("the token %s may not go to %s: the `hosts` beside it in its store say %s%s",
                          ref->name, host, token->host[0], token->n_host > 1 ? " and others" : "");
    return mem_printf(
        "the token %s may not go to %s: it is for %s%s; `purser token set %s --host %s` stores it for "
        "that host",
        ref->name, host, token->host[0], token->n_host > 1 ? " and others" : "", ref->name, host);
}

static bool close_hosts(Upstream *upstream, const StoredToken *token, Fault *fault)
{
    for (uint32_t i = 0; i < source_hosts(&upstream->source); i++) {
        Endpoint *endpoint = &upstream->endpoint[i];
        if (endpoint->use == HOST_ARTIFACT)
            continue;
        mem_free(endpoint->closed);
        endpoint->closed = why_not(token, &upstream->source.token, endpoint->origin->host);
    }
    const char *api = upstream->endpoint[0].closed;
    if (api)
        fault_set(fault, 0, "%s", api);
    return !api;
}

/* The new token is put to use at once; requests under way end with the one that they have sent. */
static void install(Upstream *upstream, const Held *held)
{
    Fault fault = held->fault;
    Live *live = NULL;
    if (held->token.token &&
        store_check_searchable(held->ref.name, secret_len(held->token.token), &fault) == 0 &&
        close_hosts(upstream, &held->token, &fault)) {
        int r = live_new(secret_dup(held->token.token), &live);
        if (r)
            fault_set(&fault, 0, "%s",
                      r == -EBADMSG ? "it is a private key, which signs (githubApp, oauth2) and is never sent"
                      : r == -EINVAL
                          ? "without the blanks at its ends it is too short to be searched for in answers"
                          : "there is no locked memory left for the token");
    }
    live_drop(upstream->live);
    upstream->live = live;
    mem_free(upstream->missing);
    upstream->revoked = !live && held->revoked;
    upstream->missing = live ? NULL
                             : mem_printf("source %s has no token: %s", upstream->source.name,
                                          fault.text[0] ? fault.text : "the store has none");
}

static const char *store_name(const Held *held)
{
    return held && held->store ? held->store->driver->name : "";
}

static int tell(const Upstream *upstream)
{
    unsigned char room[2048];
    WireWriter wire = WIRE_WRITER(room);
    const Held *held = upstream->held;
    KeeperToken token = {.source = upstream->index, .found = upstream->live != NULL};
    snprintf(token.sentence, sizeof(token.sentence), "%s", token.found ? "" : upstream->missing);
    if (held) {
        snprintf(token.store, sizeof(token.store), "%s", store_name(held));
        snprintf(token.version, sizeof(token.version), "%s", held->token.version ? held->token.version : "");
        token.fetched = held->token.fetched;
        token.expires = held->expires;
        token.renewed = held->renewed;
        token.calls = held->calls;
    }
    keeper_token_put(&token, &wire);
    return wire.failed ? -EMSGSIZE
                       : setup_tell(upstream->keeper, IPC_KEEPER_TOKEN, (Slice){(char *)room, wire.len});
}

static void audit_held(const Held *held, const char *name, const char *code, const char *sentence)
{
    Keeper *keeper = held->keeper;
    AuditEvent event = {.event = name,
                        .decision = code ? AUDIT_FAILED : AUDIT_ALLOWED,
                        .code = code,
                        .sentence = sentence,
                        .count = held->calls};
    bool any = false;
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        if (keeper->upstream[i].held != held)
            continue;
        any = true;
        event.source = keeper->upstream[i].source.name;
        audit_add(keeper->audit, &event);
    }
    if (!any)
        audit_add(keeper->audit, &event);
}

bool token_may_mint(Held *held)
{
    AuditEvent event = {.event = "token.mint", .decision = AUDIT_ALLOWED, .sentence = held->ref.name};
    const Keeper *keeper = held->keeper;
    for (size_t i = 0; i < keeper->n_upstream && !event.source; i++)
        if (keeper->upstream[i].held == held)
            event.source = keeper->upstream[i].source.name;
    return !held->ref.mint || keeper_record(held->keeper, &event);
}

void token_changed(Held *held, bool replaced)
{
    Keeper *keeper = held->keeper;
    const char *name = held->renewed && !replaced && held->call == HELD_RESTS ? "token.renew" : "token.fetch";
    char what[400];
    snprintf(what, sizeof(what), "%s %.300s%s%s", store_name(held), held->ref.name,
             held->token.version ? ", version " : "", held->token.version ? held->token.version : "");
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        Upstream *upstream = &keeper->upstream[i];
        if (upstream->held != held)
            continue;
        if (replaced && upstream->live && held->token.token)
            name = "token.rotate";
        if (replaced || !upstream->live)
            install(upstream, held);
        if (held->token.token && !upstream->live)
            audit_held(held, "token.fetch", "token-missing", upstream->missing);
        if (tell(upstream) != 0)
            log_error("the supervisor does not listen");
    }
    if (held->token.token)
        audit_held(held, name, NULL, what);
}

void token_failed(Held *held, int result)
{
    bool first = held->failures == 1;
    audit_held(held, "token.fetch", result == STORE_E_REVOKED ? "token-revoked" : "token-missing",
               held->fault.text);
    if (!held->store || !held->store->life.refresh || !first)
        return;
    if (held->settled)
        log_warning("the token %s (%s): %s", held->ref.name, store_name(held), held->fault.text);
    else
        log_warning("the token %s (%s): %s; waiting for it, for at most %llu s", held->ref.name,
                    store_name(held), held->fault.text,
                    (unsigned long long)(held->keeper->patience / CLOCK_SECOND));
}

void token_withdrawn(Held *held)
{
    Keeper *keeper = held->keeper;
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        Upstream *upstream = &keeper->upstream[i];
        if (upstream->held != held)
            continue;
        upstream->live = live_drop(upstream->live);
        mem_free(upstream->missing);
        upstream->missing =
            mem_printf("source %s has no token: it was given back with the last run that used it",
                       upstream->source.name);
    }
}

void token_given_back(Held *held, const StoreResult *result)
{
    audit_held(held, "token.give-back", result->result ? "token-kept" : NULL,
               result->result ? result->fault.text : NULL);
}

void token_settled(Keeper *keeper)
{
    run_tokens_settled(keeper);
}

static int start_source(Keeper *keeper, Upstream *upstream)
{
    upstream->keeper = keeper;
    if (!upstream->used) {
        upstream->missing =
            mem_printf("source %s is used by no retriever of this call", upstream->source.name);
        return tell(upstream);
    }
    upstream->held = held_get(keeper, &upstream->source.token);
    upstream->missing = mem_printf("source %s has no token yet: it is being fetched", upstream->source.name);
    return 0;
}

int token_start(Keeper *keeper)
{
    int r = 0;
    for (size_t i = 0; i < keeper->n_upstream && !r; i++)
        r = start_source(keeper, &keeper->upstream[i]);
    for (size_t i = 0; i < keeper->n_upstream && !r; i++)
        if (keeper->upstream[i].held)
            held_start(keeper->upstream[i].held);
    return r;
}

void token_free_all(Keeper *keeper)
{
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        keeper->upstream[i].live = live_drop(keeper->upstream[i].live);
        mem_free(STEAL(keeper->upstream[i].missing));
    }
    held_free_all(keeper);
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

typedef struct WaitingClerk {
    IpcPeer peer;
} WaitingClerk;

static void send_credential(void *context, Held *held)
{
    WaitingClerk *clerk = context;
    Keeper *keeper = held->keeper;
    const Sealed *token = held->token.token;
    const char *why = token ? NULL : held->fault.text;
    AuditEvent event = {.event = "credential.send",
                        .decision = token ? AUDIT_ALLOWED : AUDIT_FAILED,
                        .code = token ? NULL : "token-missing",
                        .sentence = why};
    if (!keeper_record(keeper, &event) && token && !keeper->audit_optional) {
        token = NULL;
        why = "the database's credential is not given, because the audit cannot be written";
    }
    keeper->opened = true;
    int r = token ? pass_on(&clerk->peer, token)
                  : ipc_send(&clerk->peer, IPC_CREDENTIAL_FAULT, slice_of(why), NULL, 0);
    if (r == -EPROTO)
        log_error("the database credential could not be sent: %s", strerror(-r));
    /* else: a clerk that has ended is its own trouble */
    fd_close(&clerk->peer.fd);
    mem_free(clerk);
}

int token_send_credential(Keeper *keeper, Slice payload, int clerk_fd)
{
    CLEANUP_FD int fd = clerk_fd;
    TokenRef ref;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    int r = token_ref_get(&wire, &ref);
    if (r)
        return r;
    WaitingClerk *clerk = MEM_NEW(WaitingClerk);
    *clerk = (WaitingClerk){{fd_steal(&fd), IPC_KEEPER, IPC_CLERK, IPC_OPEN}};
    Held *held = held_get(keeper, &ref);
    token_ref_done(&ref);
    held_start(held);
    /* A clerk connects with it now: a password that is another one since would be refused. */
    if (held->token.token && !held->token.leased)
        held_read_since(held, CLOCK_SECOND, send_credential, clerk);
    else
        held_wait(held, send_credential, clerk);
    return 0;
}
