/* Reading mappings by tables of fields. See field.h. */
#include "yaml/field.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define MAX_FIELDS 64

/* Of a duration, 73,000 years: a time that it is added to, or taken off, stays one. */
#define MOST_DURATION (INT64_MAX / 4)

static int fault_type(const YamlDoc *doc, const YamlNode *node, const char *key, const char *wanted,
                      Fault *fault)
{
    if (node->kind == YAML_NULL)
        return yaml_fault(doc, node, fault,
                          "'%s' must be %s, but is empty; give it a value or leave the key out", key, wanted);
    return yaml_fault(doc, node, fault, "'%s' must be %s, but is %s", key, wanted, yaml_kind_text(node));
}

int yaml_want_list(const YamlDoc *doc, const YamlNode *node, const char *key, size_t most, Fault *fault)
{
    if (node->kind != YAML_LIST)
        return fault_type(doc, node, key, "a list", fault);
    if (node->n_child > most)
        return yaml_fault(doc, node, fault, "'%s' has %zu items; there may be %zu at most", key,
                          node->n_child, most);
    return 0;
}

int yaml_want_map(const YamlDoc *doc, const YamlNode *node, const char *key, Fault *fault)
{
    return node->kind == YAML_MAP ? 0 : fault_type(doc, node, key, "a mapping (key: value)", fault);
}

static bool has_control(const char *text, bool verbatim)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < 0x20 && !(verbatim && (*p == '\n' || *p == '\t' || *p == '\r'))) || *p == 0x7F)
            return true;
    return false;
}

static int read_text(const YamlDoc *doc, const YamlNode *node, const YamlField *field, char **ret_text,
                     Fault *fault)
{
    size_t most = field->most ? field->most : YAML_MAX_TEXT;
    bool verbatim = field->as == YAML_AS_VERBATIM;
    if (node->kind != YAML_TEXT)
        return fault_type(doc, node, field->key, "text", fault);
    if (!node->text[0] && !verbatim)
        return yaml_fault(doc, node, fault, "'%s' is empty; give it a value or leave the key out",
                          field->key);
    if (strlen(node->text) > most)
        return yaml_fault(doc, node, fault, "'%s' is longer than %zu bytes", field->key, most);
    if (has_control(node->text, verbatim))
        return yaml_fault(doc, node, fault, "'%s' holds a control character", field->key);
    if (field->as == YAML_AS_NAME && !text_is_name(slice_of(node->text)))
        return yaml_fault(
            doc, node, fault,
            "'%s: %.80s' is not a name: 1 to 63 of a-z, 0-9, '.', '_' and '-', with a letter or digit "
            "at both ends",
            field->key, node->text);
    mem_free(*ret_text);
    *ret_text = mem_strdup(node->text);
    return 0;
}

int yaml_read_text(const YamlDoc *doc, const YamlNode *node, const char *key, size_t most, char **ret_text,
                   Fault *fault)
{
    return read_text(doc, node, &(YamlField){.key = key, .as = YAML_AS_TEXT, .most = most}, ret_text, fault);
}

static int read_texts(const YamlDoc *doc, const YamlNode *node, const YamlField *field, char ***list,
                      size_t *count, Fault *fault)
{
    int r = yaml_want_list(doc, node, field->key, field->most ? field->most : YAML_MAX_LIST, fault);
    if (r)
        return r;
    mem_free_strings(*list, *count);
    *list = NULL;
    *count = 0;
    for (size_t i = 0; i < node->n_child; i++) {
        char *text = NULL;
        r = yaml_read_text(doc, node->child[i], field->key, 0, &text, fault);
        if (r)
            return r;
        MEM_PUSH(*list, *count, text);
    }
    return 0;
}

typedef struct Number {
    int (*parse)(Slice text, uint64_t *ret_value);
    const char *wanted;
} Number;

static int parse_plain_u64(Slice text, uint64_t *ret_value)
{
    return text_parse_u64(text, UINT64_MAX, ret_value);
}

static int read_number(const YamlDoc *doc, const YamlNode *node, const YamlField *field, uint64_t *ret_value,
                       Fault *fault)
{
    static const Number number[] = {
        [YAML_AS_U32] = {parse_plain_u64, "a whole number"},
        [YAML_AS_U64] = {parse_plain_u64, "a whole number"},
        [YAML_AS_SIZE] = {text_parse_size, "a size like 512, 64KiB, 500MiB or 2GiB"},
        [YAML_AS_DURATION] = {text_parse_duration, "a duration like 90s, 10m, 2h or 30d"},
        [YAML_AS_RATE] = {text_parse_rate, "a rate like 20/s, 600/m or 5000/h"},
    };
    const Number *how = &number[field->as];
    if (node->kind != YAML_TEXT)
        return fault_type(doc, node, field->key, how->wanted, fault);
    if (how->parse == parse_plain_u64 && !node->plain)
        return yaml_fault(doc, node, fault, "'%s' must be a number, but is quoted; take the quotes away",
                          field->key);
    uint64_t value, most = field->most                     ? field->most
                           : field->as == YAML_AS_U32      ? UINT32_MAX
                           : field->as == YAML_AS_DURATION ? MOST_DURATION
                                                           : UINT64_MAX;
    int r = how->parse(slice_of(node->text), &value);
    if (r == -EINVAL)
        return yaml_fault(doc, node, fault, "'%s: %.40s' is not %s", field->key, node->text, how->wanted);
    if (r || value > most)
        return yaml_fault(doc, node, fault, "'%s: %.40s' is %s", field->key, node->text,
                          r && field->as == YAML_AS_RATE ? "out of range" : "too large");
    *ret_value = value;
    return 0;
}

static int read_bool(const YamlDoc *doc, const YamlNode *node, const char *key, bool *ret_value, Fault *fault)
{
    if (node->kind != YAML_TEXT || !node->plain)
        return fault_type(doc, node, key, "true or false", fault);
    bool yes = strcmp(node->text, "true") == 0;
    if (!yes && strcmp(node->text, "false") != 0)
        return yaml_fault(doc, node, fault, "'%s: %.40s' must be true or false", key, node->text);
    *ret_value = yes;
    return 0;
}

static int read_field(const YamlDoc *doc, const YamlNode *node, const YamlField *field, char *into,
                      Fault *fault)
{
    void *at = into + field->offset;
    uint64_t value = 0;
    int r;
    switch (field->as) {
    case YAML_AS_TEXT:
    case YAML_AS_VERBATIM:
    case YAML_AS_NAME:
        return read_text(doc, node, field, at, fault);
    case YAML_AS_TEXTS:
        return read_texts(doc, node, field, at, (size_t *)(void *)(into + field->count), fault);
    case YAML_AS_BOOL:
        return read_bool(doc, node, field->key, at, fault);
    case YAML_AS_NODE:
        *(const YamlNode **)at = node;
        return 0;
    default:
        r = read_number(doc, node, field, &value, fault);
        if (r)
            return r;
        if (field->as == YAML_AS_U32)
            *(uint32_t *)at = (uint32_t)value;
        else
            *(uint64_t *)at = value;
        return 0;
    }
}

static int fault_unknown(const YamlDoc *doc, const YamlNode *key, const char *what, const YamlField *field,
                         size_t n_field, Fault *fault)
{
    const char *word[MAX_FIELDS];
    char known[400] = "";
    for (size_t i = 0, n = 0; i < n_field && i < MAX_FIELDS; i++) {
        word[i] = field[i].key;
        if (n < sizeof(known))
            n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", field[i].key);
    }
    const char *nearest = yaml_nearest(key->text, word, n_field < MAX_FIELDS ? n_field : MAX_FIELDS);
    if (nearest)
        return yaml_fault(doc, key, fault, "%s has no key '%.80s'; did you mean '%s'?", what, key->text,
                          nearest);
    return yaml_fault(doc, key, fault, "%s has no key '%.80s'; it has: %s", what, key->text, known);
}

int yaml_read_map(const YamlDoc *doc, const YamlNode *map, const char *what, const YamlField *field,
                  size_t n_field, void *into, Fault *fault)
{
    if (map->kind != YAML_MAP)
        return yaml_fault(doc, map, fault, "%s must be a mapping (key: value), but is %s", what,
                          yaml_kind_text(map));
    for (size_t i = 0; i + 1 < map->n_child; i += 2) {
        size_t k = 0;
        while (k < n_field && strcmp(field[k].key, map->child[i]->text) != 0)
            k++;
        if (k == n_field)
            return fault_unknown(doc, map->child[i], what, field, n_field, fault);
        int r = read_field(doc, map->child[i + 1], &field[k], into, fault);
        if (r)
            return r;
    }
    for (size_t k = 0; k < n_field; k++)
        if (field[k].required && !yaml_get(map, field[k].key))
            return yaml_fault(doc, map, fault, "%s needs the key '%s'", what, field[k].key);
    return 0;
}
