/* Kubernetes' API as a rotation needs it: one Secret, one beside it, and a Lease (coordination.k8s.io) that
 * is the lock of both. Each call is waited for; what is secret in it is wiped when it has ended. Everything
 * that the server says is bounded and checked. Runs in purser-rotate.
 *
 * Objects are made by a write that names them (server-side apply of a Secret, PUT of a Lease), never by POST:
 * so a Role can allow the making of exactly these by `resourceNames`.
 */
#pragma once

#include "base/json.h"
#include "rotate/api.h"
#include "rotate/cluster-read.h"

#define CLUSTER_SIDE ".purser-rotation"

typedef struct Cluster {
    const KubernetesConfig *config;
    Api api;
    char *space, *name, *side;
} Cluster;

/* `ref`: the Secret. Borrows setup. -errno with a sentence; cluster_done() then too. */
int cluster_init(Cluster *cluster, const RotateSetup *setup, const TokenRef *ref, Fault *fault) MUST_USE;
void cluster_done(Cluster *cluster);

/* "/api/v1/namespaces/SPACE/secrets/NAME", and the Lease's; the caller frees. */
char *cluster_secret_path(const Cluster *cluster, const char *name);
char *cluster_lease_path(const Cluster *cluster);

/* See api_call(). */
int cluster_call(Cluster *cluster, ApiCall *call, Fault *fault) MUST_USE;
/* Of a status that was not hoped for: -ESTALE (409), STORE_E_OUTAGE, STORE_E_DENIED with a sentence. `what`:
 * "the Secret github". */
int cluster_refusal(const Cluster *cluster, const ApiCall *call, const char *what, Fault *fault);

/* "KEY": "base64 of the token"; token NULL: null. -errno. */
int cluster_put_token(JsonWriter *json, const char *key, const Sealed *token) MUST_USE;

/* ret_story: an annotation of it; the caller frees. NULL: it is not wanted. */
int cluster_lock_read(Cluster *cluster, ClusterLock *ret_lock, char **ret_story, Fault *fault) MUST_USE;
/* As `lock` says, with that story, if nobody has written it since it was read: -ESTALE otherwise. Its version
 * is then the new one. */
int cluster_lock_write(Cluster *cluster, ClusterLock *lock, Slice story, Fault *fault) MUST_USE;

/* Every right that a rotation needs and this login has not, in one sentence: STORE_E_DENIED. */
int cluster_may(Cluster *cluster, Fault *fault) MUST_USE;
