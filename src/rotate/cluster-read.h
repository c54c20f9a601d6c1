/* What Kubernetes' answers say to a rotation, taken out of their JSON. Pure: no network, no clock; everything
 * here is a stranger's, bounded and checked.
 */
#pragma once

#include "store/answer.h"

#define CLUSTER_VERSION 64 /* room for a resourceVersion or a uid, with its NUL */

/* A Secret, with one key of it. */
typedef struct ClusterSecret {
    char version[CLUSTER_VERSION], uid[CLUSTER_VERSION];
    StoredToken token; /* .token NULL: the key is not there */
    int64_t set;       /* wall us: when the key was; 0: not told */
    char maker[256];   /* what makes the Secret anew: "Helm's release metrics"; "": nothing that is told */
} ClusterSecret;

int cluster_read_secret(const json_t *json, const char *name, const char *key, ClusterSecret *ret_secret,
                        Fault *fault) MUST_USE;
void cluster_secret_done(ClusterSecret *secret);
/* metadata.resourceVersion and .uid; "" what is none, or too long. */
void cluster_read_version(const json_t *json, char version[static CLUSTER_VERSION],
                          char uid[static CLUSTER_VERSION]);

/* The Secret beside it: both tokens; NULL what is not there. -EALREADY with a sentence: it is of another key.
 */
int cluster_read_staged(const json_t *json, const char *name, const char *key, Sealed *ret_staged[static 2],
                        Fault *fault) MUST_USE;

/* The lock. */
typedef struct ClusterLock {
    char version[CLUSTER_VERSION]; /* "": there is no Lease */
    char holder[256];              /* printable; "": nobody */
    int64_t since, beat;           /* wall us; 0: not told */
    uint64_t transitions;
} ClusterLock;

/* ret_story: an annotation of it; the caller frees. NULL: it is not wanted. */
void cluster_read_lock(const json_t *json, ClusterLock *ret_lock, char **ret_story);

bool cluster_read_review(const json_t *json); /* of a SelfSubjectAccessReview: whether it is allowed */
