/* What a provider tells of a token: whose it is, what it may do, when it dies. Pure; the answer is a
 * stranger's. */
#pragma once

#include "config/config.h"
#include "store/store.h"

#define ACCOUNT_SCOPES 128

typedef struct Account {
    char identity[256];          /* printable; "": the provider does not tell */
    char *scope[ACCOUNT_SCOPES]; /* sorted, each once */
    size_t n_scope;
    bool tells_scopes;
    int64_t expires; /* wall us; 0: never, or not told */
} Account;

/* `header`: what rotation->scopes_header held, or NULL. An answer that is no JSON tells nothing. */
void account_read(const Rotation *rotation, Slice body, const char *header, Account *ret_account);
void account_done(Account *account);

/* The token that a provider has made, out of its answer: STORE_E_DAMAGED, STORE_E_BAD_TOKEN with a sentence.
 */
int account_read_made(const Rotation *rotation, Slice body, Sealed **ret_token, Fault *fault) MUST_USE;

bool account_differs(const Account *old, const Account *fresh); /* both tell an identity, and not the same */
/* Names the scopes that the new one has and the old one has not; true when there are some. */
bool account_wider(const Account *old, const Account *fresh, char out[static 256]);
bool account_has(const Account *account, Slice scope);
