/* Permissions of minted tokens. See permission.h. */
#include "policy/permission.h"

#include "base/mem.h"

static PolicyPermission *find(const PolicyPermissions *permissions, const char *name)
{
    for (size_t i = 0; i < permissions->n; i++)
        if (strcmp(permissions->list[i].name, name) == 0)
            return &permissions->list[i];
    return NULL;
}

void policy_permissions_add(PolicyPermissions *to, const PolicyPermissions *from)
{
    for (size_t i = 0; i < from->n; i++) {
        PolicyPermission *there = find(to, from->list[i].name);
        PolicyPermission one = {.write = from->list[i].write};
        if (there) {
            there->write |= one.write;
            continue;
        }
        one.name = mem_strdup(from->list[i].name);
        MEM_PUSH(to->list, to->n, one);
    }
}

void policy_permissions_done(PolicyPermissions *permissions)
{
    for (size_t i = 0; i < permissions->n; i++)
        mem_free(permissions->list[i].name);
    mem_free(permissions->list);
    *permissions = (PolicyPermissions){0};
}
