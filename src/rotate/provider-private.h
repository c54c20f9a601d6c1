/* What the files of provider.h share. */
#pragma once

#include "rotate/link.h"
#include "rotate/provider.h"

#include <stdio.h>

struct ProviderLink {
    const RotateSetup *setup;
    const char *probe;
    StoreServer server;
    Link link;
    char *label, *credential; /* "Authorization: Bearer " */
    int64_t skew;             /* us: the provider's clock against ours, where it matters (a GitHub App) */
};

/* What is sent instead of a GitHub App's key. */
int app_sign(const ProviderLink *link, const Sealed *key, Sealed **ret_jwt, Fault *fault) MUST_USE;
