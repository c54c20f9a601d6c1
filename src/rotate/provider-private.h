/* What the files of provider.h share. */
#pragma once

#include "rotate/link.h"
#include "rotate/provider.h"
#include "rotate/vault-api.h"

#include <stdio.h>

struct ProviderLink {
    const RotateSetup *setup;
    const char *probe;
    StoreServer server;
    Link link;
    char *label, *credential; /* "Authorization: Bearer " */
    VaultApi *vault;          /* NULL: it is no login to Vault */
    char *role;               /* then, once a login has told it: the AppRole's name */
    int64_t skew;             /* us: the provider's clock against ours, where it matters (a GitHub App) */
};

/* What is sent instead of a GitHub App's key. */
int app_sign(const ProviderLink *link, const Sealed *key, Sealed **ret_jwt, Fault *fault) MUST_USE;

/* Purser's own login to Vault by AppRole: provider-approle.c. */
int approle_open(const RotateSetup *setup, ProviderLink **ret_link, Fault *fault) MUST_USE;
int approle_probe(ProviderLink *link, const Sealed *token, RotateLife *ret_life, Account *ret_account,
                  Fault *fault) MUST_USE;
int approle_make(ProviderLink *link, Sealed **ret_token, Fault *fault) MUST_USE;
int approle_retire(ProviderLink *link, const Sealed *token, Fault *fault) MUST_USE;
int approle_may(ProviderLink *link, Fault *fault) MUST_USE;
