/* Values out of JSON that purser itself has written (run.json, what the keeper says of a lease), read as
 * YAML, which it is too: what is not there, or is something else, is empty or 0.
 */
#pragma once

#include "yaml/tree.h"

const char *node_text(const YamlNode *map, const char *key);
uint64_t node_number(const YamlNode *map, const char *key);
int64_t node_time(const YamlNode *map, const char *key); /* wall, us */
bool node_flag(const YamlNode *map, const char *key);

/* The items of a list: their number, and each. */
size_t node_count(const YamlNode *map, const char *key);
const YamlNode *node_item(const YamlNode *map, const char *key, size_t i);
