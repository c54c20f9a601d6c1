/* What all stores share. See store.h. */
#include "store/store.h"

#include "base/mem.h"

#include <errno.h>

void stored_token_done(StoredToken *token)
{
    token->token = secret_free(token->token);
    mem_free_strings(token->host, token->n_host);
    mem_free(token->version);
    mem_free(token->lease);
    *token = (StoredToken){0};
}

void store_fail(StoreDone *done, void *context, int result, unsigned calls, const Fault *fault)
{
    StoreResult failed = {.result = result, .calls = calls, .fault = *fault};
    done(context, &failed);
}

void stores_fetch(const Stores *stores, const TokenRef *ref, StoreDone *done, void *context)
{
    Fault fault = {""};
    Store *store = stores->store[ref->kind];
    if (store) {
        store->driver->fetch(store, ref, done, context);
        return;
    }
    if (ref->kind == STORE_NONE)
        fault_set(&fault, 0, "no token is named: say `token: {keyring: NAME}`");
    else
        fault_set(&fault, 0, "%s",
                  stores->shut[ref->kind] ? stores->shut[ref->kind] : "its store is not set up");
    store_fail(done, context, STORE_E_ABSENT, 0, &fault);
}

void stores_free(Stores *stores)
{
    for (size_t i = STORE_KINDS; i-- > 0;) { /* those that mint before those that they fetch from */
        if (stores->store[i])
            stores->store[i]->driver->free(stores->store[i]);
        mem_free(stores->shut[i]);
    }
    *stores = (Stores){0};
}

static size_t without_newline(Slice token)
{
    size_t len = token.len;
    if (len && token.ptr[len - 1] == '\n')
        len -= len > 1 && token.ptr[len - 2] == '\r' ? 2 : 1;
    return len;
}

static int check_length(const char *name, size_t len, Fault *fault)
{
    if (len == 0)
        return fault_set(fault, STORE_E_BAD_TOKEN, "the token \"%s\" is empty", name);
    if (len > SECRET_MAX_TOKEN)
        return fault_set(
            fault, STORE_E_BAD_TOKEN,
            "the token \"%s\" is longer than %u bytes, more than the head of a request can carry", name,
            SECRET_MAX_TOKEN);
    return 0;
}

static int check_bytes(const char *name, Slice token, bool lines, Fault *fault)
{
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.ptr[i];
        bool line_end = c == '\n' || c == '\r';
        if ((c >= 0x20 && c != 0x7F) || (lines && line_end))
            continue;
        const char *what = c == '\0' ? "a NUL" : line_end ? "a newline" : "a control character";
        return fault_set(fault, STORE_E_BAD_TOKEN,
                         "the token \"%s\" has %s at byte %zu, which no request can carry", name, what,
                         i + 1);
    }
    return 0;
}

int store_check_token(const char *name, Slice token, size_t *ret_len, Fault *fault)
{
    Slice whole = {token.ptr, without_newline(token)};
    int r = check_length(name, whole.len, fault);
    r = r ? r : check_bytes(name, whole, false, fault);
    if (r == 0)
        *ret_len = whole.len;
    return r;
}

int store_check_searchable(const char *name, size_t len, Fault *fault)
{
    if (len >= SECRET_MIN_TOKEN)
        return 0;
    return fault_set(
        fault, STORE_E_BAD_TOKEN,
        "the token \"%s\" has %zu bytes: one of fewer than %u could be guessed, and cannot be searched "
        "for in answers; have its provider make a longer one",
        name, len, SECRET_MIN_TOKEN);
}

int store_seal(const char *name, Slice token, bool lines, Sealed **ret_token, Fault *fault)
{
    Slice whole = {token.ptr, without_newline(token)};
    int r = check_length(name, whole.len, fault);
    r = r ? r : check_bytes(name, whole, lines, fault);
    return r ? r : secret_seal(whole, ret_token);
}
