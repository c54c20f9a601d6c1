/* Values out of JSON that purser itself has written. See node.h. */
#include "supervisor/node.h"

#include "base/clock.h"
#include "base/text.h"

const char *node_text(const YamlNode *map, const char *key)
{
    const YamlNode *node = yaml_get(map, key);
    return node && node->kind == YAML_TEXT ? node->text : "";
}

uint64_t node_number(const YamlNode *map, const char *key)
{
    uint64_t value = 0;
    int r = text_parse_u64(slice_of(node_text(map, key)), UINT64_MAX, &value);
    return r ? 0 : value;
}

int64_t node_time(const YamlNode *map, const char *key)
{
    int64_t value = 0;
    int r = clock_parse(slice_of(node_text(map, key)), &value);
    return r ? 0 : value;
}

bool node_flag(const YamlNode *map, const char *key)
{
    return strcmp(node_text(map, key), "true") == 0;
}

size_t node_count(const YamlNode *map, const char *key)
{
    const YamlNode *node = yaml_get(map, key);
    return node && node->kind == YAML_LIST ? node->n_child : 0;
}

const YamlNode *node_item(const YamlNode *map, const char *key, size_t i)
{
    return yaml_get(map, key)->child[i];
}
