/* HashiCorp Vault and OpenBao: logs in once, reads, renews and gives back leases, gives the login back at the
 * end. The login token is renewed before two thirds of its life; past its maximum, or when the server no
 * longer knows it, the next read logs in again. Whoever fetches while a login is under way waits for that
 * one.
 */
#pragma once

#include "store/client.h"

/* "/v1/...", to be freed. */
char *vault_path(const char *path);

/* All borrowed; `stores` is where the login's own secret is fetched from. */
Store *store_vault_new(const VaultConfig *config, StoreClient *client, const Stores *stores,
                       struct event_base *base, uint64_t seed);
