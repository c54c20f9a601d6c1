/* Kubernetes: Secrets by name over the API ("get", and where it is allowed "watch", each of one name and
 * never "list", so that RBAC can allow exactly the named ones), and tokens of service accounts
 * (TokenRequest). The pod's own token is read again for every call: kubelet replaces it within its life.
 */
#pragma once

#include "store/client.h"

/* All borrowed; `stores` is where the service account's token is fetched from. */
Store *store_kubernetes_new(const KubernetesConfig *config, StoreClient *client, const Stores *stores);
Store *store_token_request_new(const KubernetesConfig *config, StoreClient *client, const Stores *stores);
