/* What all stores share. See store.h. */
#include "store/store.h"

#include "base/mem.h"

void stored_token_done(StoredToken *token)
{
    token->token = secret_free(token->token);
    mem_free_strings(token->host, token->n_host);
    token->host = NULL;
    token->n_host = 0;
}

static size_t without_newline(Slice token)
{
    size_t len = token.len;
    if (len && token.ptr[len - 1] == '\n')
        len -= len > 1 && token.ptr[len - 2] == '\r' ? 2 : 1;
    return len;
}

int store_check_token(const char *name, Slice token, size_t *ret_len, Fault *fault)
{
    size_t len = without_newline(token);
    if (len == 0)
        return fault_set(fault, STORE_E_BAD_TOKEN, "the token \"%s\" is empty", name);
    if (len > SECRET_MAX_TOKEN)
        return fault_set(
            fault, STORE_E_BAD_TOKEN,
            "the token \"%s\" is longer than %u bytes, more than the head of a request can carry", name,
            SECRET_MAX_TOKEN);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)token.ptr[i];
        if (c >= 0x20 && c != 0x7F)
            continue;
        const char *what = c == '\0' ? "a NUL" : c == '\n' || c == '\r' ? "a newline" : "a control character";
        return fault_set(fault, STORE_E_BAD_TOKEN,
                         "the token \"%s\" has %s at byte %zu, which no request can carry", name, what,
                         i + 1);
    }
    *ret_len = len;
    return 0;
}
