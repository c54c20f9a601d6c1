/* A kubeconfig, for purser outside a cluster. The file often holds a key or a token itself, and the
 * supervisor holds no secret: so a child of it, which ends at once, reads the file; what is no secret comes
 * back, and each inline part is a file of its own for the keeper, in memory, under a name of KUBECONFIG_PART.
 */
#pragma once

#include "config/config.h"

#define KUBECONFIG_PART "kubeconfig:" /* + "certificate-authority-data", "token", ... */

/* Fills in address, CA, namespace and login from kubernetes->kubeconfig. Nothing to do without one. -EINVAL
 * with a sentence. */
int kubeconfig_take(KubernetesConfig *kubernetes, Fault *fault) MUST_USE;

/* A descriptor of one part, which the caller cannot have read; -errno. */
int kubeconfig_open(const KubernetesConfig *kubernetes, const char *part) MUST_USE;
