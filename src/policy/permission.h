/* What a token that is minted for a policy's rules must be allowed, by the provider's own names:
 *
 *   permissions: {actions: read, checks: read}
 *
 * Those of a GitHub App
 * (https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps).
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct PolicyPermission {
    char *name; /* a-z and _ */
    bool write; /* else read */
} PolicyPermission;

typedef struct PolicyPermissions {
    PolicyPermission *list;
    size_t n;
} PolicyPermissions;

/* Adds those that are missing; write is more than read. */
void policy_permissions_add(PolicyPermissions *to, const PolicyPermissions *from);
void policy_permissions_done(PolicyPermissions *permissions);

/* policy/load-permissions.c; -EINVAL with the place. On failure *ret holds what was read so far. */
struct YamlDoc;
struct YamlNode;
int policy_read_permissions(const struct YamlDoc *doc, const struct YamlNode *map, PolicyPermissions *ret,
                            Fault *fault) MUST_USE;
