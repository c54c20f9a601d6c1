/* Permissions as a file says them. See permission.h. */
#include "policy/permission.h"

#include "base/mem.h"
#include "yaml/field.h"

static bool is_word(const char *text)
{
    size_t len = strlen(text);
    return len && len < 64 && strspn(text, "abcdefghijklmnopqrstuvwxyz_") == len;
}

int policy_read_permissions(const YamlDoc *doc, const YamlNode *map, PolicyPermissions *ret, Fault *fault)
{
    int r = map ? yaml_want_map(doc, map, "permissions", fault) : 0;
    for (size_t i = 0; map && !r && i + 1 < map->n_child; i += 2) {
        const YamlNode *name = map->child[i], *level = map->child[i + 1];
        PolicyPermission one = {.write = level->text && strcmp(level->text, "write") == 0};
        if (!is_word(name->text) || !level->text || (!one.write && strcmp(level->text, "read") != 0))
            return yaml_fault(doc, name, fault,
                              "'permissions' maps GitHub's names to read or write, as in {actions: read}");
        one.name = mem_strdup(name->text);
        MEM_PUSH(ret->list, ret->n, one);
    }
    return r;
}
