/* Tokens that live for an hour or less, minted with a long-lived secret that is kept in another store:
 * installation tokens of a GitHub App, and OAuth 2 client credentials (RFC 6749, 7523). What is minted is
 * renewed before two thirds of its life by minting another. A GitHub App's is revoked when no run uses it;
 * OAuth 2 has no common way to do that.
 */
#pragma once

#include "store/client.h"

/* All borrowed; `stores` is where the long-lived part is fetched from. */
Store *store_github_app_new(StoreClient *client, const Stores *stores);
Store *store_oauth2_new(StoreClient *client, const Stores *stores);

/* Pure: the claims that a GitHub App signs; `now` in seconds, by GitHub's clock. */
int mint_github_claims(const char *app_id, int64_t now, Buf *claims) MUST_USE;
