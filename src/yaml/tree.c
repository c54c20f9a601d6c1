/* The tree from libyaml's events. See tree.h. A frame of the stack is a list or mapping that is still open.
 */
#include "yaml/tree.h"

#include "base/mem.h"
#include "base/text.h"
#include "yaml/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

typedef struct Anchor {
    char *name;
    const YamlNode *node;
} Anchor;

typedef struct Builder {
    YamlDoc *doc;
    Fault *fault;
    YamlNode *open[YAML_MAX_DEPTH];
    size_t depth;
    Anchor anchor[YAML_MAX_ANCHORS];
    size_t n_anchor;
    size_t total; /* nodes so far, aliases counted by their weight */
    unsigned documents;
} Builder;

int yaml_fault(const YamlDoc *doc, const YamlNode *node, Fault *fault, const char *fmt, ...)
{
    char sentence[sizeof(fault->text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    return fault_set(fault, -EINVAL, "%s:%u:%u: %s", doc->file, node->line, node->column, sentence);
}

const char *yaml_kind_text(const YamlNode *node)
{
    switch (node->kind) {
    case YAML_NULL:
        return "empty";
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a mapping";
    default:
        return node->plain ? "a single word" : "quoted text";
    }
}

const YamlNode *yaml_get(const YamlNode *map, const char *key)
{
    for (size_t i = 0; i + 1 < map->n_child; i += 2)
        if (map->kind == YAML_MAP && strcmp(map->child[i]->text, key) == 0)
            return map->child[i + 1];
    return NULL;
}

static int fault_at(Builder *b, const yaml_mark_t *mark, const char *fmt, ...) FORMAT(3, 4);
static int fault_at(Builder *b, const yaml_mark_t *mark, const char *fmt, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    return fault_set(b->fault, -EINVAL, "%s:%zu:%zu: %s", b->doc->file, mark->line + 1, mark->column + 1,
                     sentence);
}

static YamlNode *new_node(Builder *b, YamlKind kind, const yaml_mark_t *mark)
{
    YamlNode *node = MEM_NEW(YamlNode);
    node->kind = kind;
    node->line = (unsigned)mark->line + 1;
    node->column = (unsigned)mark->column + 1;
    node->weight = 1;
    MEM_PUSH(b->doc->node, b->doc->n_node, node);
    return node;
}

static bool awaits_key(const YamlNode *map)
{
    return map->kind == YAML_MAP && map->n_child % 2 == 0;
}

static int check_key(Builder *b, const YamlNode *map, const YamlNode *key)
{
    if (key->kind != YAML_TEXT || key->text[0] == '\0')
        return yaml_fault(b->doc, key, b->fault, "a key must be a word, but is %s", yaml_kind_text(key));
    if (key->plain && strcmp(key->text, "<<") == 0)
        return yaml_fault(b->doc, key, b->fault, "merge keys (<<) are not read here; write the keys out");
    if (map->n_child / 2 >= YAML_MAX_KEYS)
        return yaml_fault(b->doc, key, b->fault, "more than %d keys in one mapping", YAML_MAX_KEYS);
    for (size_t i = 0; i < map->n_child; i += 2)
        if (strcmp(map->child[i]->text, key->text) == 0)
            return yaml_fault(b->doc, key, b->fault, "the key '%s' is there twice; the first is in line %u",
                              key->text, map->child[i]->line);
    return 0;
}

/* Puts a node where it belongs: into what is open, or at the top. `mark`: of this use of it. */
static int attach(Builder *b, YamlNode *node, const yaml_mark_t *mark)
{
    b->total += node->weight;
    if (b->total > YAML_MAX_NODES)
        return fault_at(b, mark,
                        "this file has more than %d values, aliases counted as often as they are used",
                        YAML_MAX_NODES);
    if (b->depth == 0) {
        b->doc->root = node;
        return 0;
    }
    YamlNode *parent = b->open[b->depth - 1];
    if (awaits_key(parent)) {
        int r = check_key(b, parent, node);
        if (r)
            return r;
    }
    MEM_PUSH(parent->child, parent->n_child, node);
    return 0;
}

static int set_anchor(Builder *b, const yaml_char_t *name, const YamlNode *node)
{
    if (!name)
        return 0;
    if (b->n_anchor == YAML_MAX_ANCHORS)
        return yaml_fault(b->doc, node, b->fault, "more than %d anchors", YAML_MAX_ANCHORS);
    for (size_t i = 0; i < b->n_anchor; i++)
        if (strcmp(b->anchor[i].name, (const char *)name) == 0)
            return yaml_fault(b->doc, node, b->fault,
                              "the anchor '&%s' is there twice; the first is in line %u", (const char *)name,
                              b->anchor[i].node->line);
    b->anchor[b->n_anchor++] = (Anchor){mem_strdup((const char *)name), node};
    return 0;
}

static int on_alias(Builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = 0; i < b->n_anchor; i++) {
        if (strcmp(b->anchor[i].name, name) != 0)
            continue;
        YamlNode *node = (YamlNode *)b->anchor[i].node;
        for (size_t k = 0; k < b->depth; k++)
            if (b->open[k] == node)
                return fault_at(
                    b, &event->start_mark,
                    "the alias '*%s' stands inside its own anchor (line %u): that would never end", name,
                    node->line);
        return attach(b, node, &event->start_mark);
    }
    return fault_at(b, &event->start_mark, "the alias '*%s' has no anchor '&%s' before it", name, name);
}

static bool is_null(const char *text)
{
    return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

static int on_scalar(Builder *b, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (event->data.scalar.tag)
        return fault_at(b, &event->start_mark, "tags (%s) are not read here", (char *)event->data.scalar.tag);
    if (memchr(text, '\0', len))
        return fault_at(b, &event->start_mark, "this text holds a NUL byte");
    YamlNode *node = new_node(b, plain && is_null(text) ? YAML_NULL : YAML_TEXT, &event->start_mark);
    node->plain = plain;
    node->text = mem_dup(text, len);
    int r = set_anchor(b, event->data.scalar.anchor, node);
    return r ? r : attach(b, node, &event->start_mark);
}

static int on_open(Builder *b, YamlKind kind, const yaml_char_t *anchor, const yaml_char_t *tag,
                   const yaml_mark_t *mark)
{
    if (tag)
        return fault_at(b, mark, "tags (%s) are not read here", (const char *)tag);
    if (b->depth == YAML_MAX_DEPTH)
        return fault_at(b, mark, "nested deeper than %d levels", YAML_MAX_DEPTH);
    YamlNode *node = new_node(b, kind, mark);
    node->text = mem_strdup("");
    int r = set_anchor(b, anchor, node);
    if (!r)
        r = attach(b, node, mark);
    b->open[b->depth++] = node;
    return r;
}

static int on_close(Builder *b)
{
    YamlNode *node = b->open[--b->depth];
    for (size_t i = 0; i < node->n_child; i++)
        node->weight += node->child[i]->weight;
    return 0;
}

static int on_event(Builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++)
            return fault_at(b, &event->start_mark, "a second document begins here (---); one file holds one");
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, YAML_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                       &event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, YAML_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag,
                       &event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(b);
    default:
        return 0;
    }
}

static int build(Builder *b, Slice text)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return fault_set(b->fault, -ENOMEM, "%s: there is no memory to read it", b->doc->file);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    int r = 0;
    for (bool end = false; !r && !end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            r = yaml_parser_problem(b->doc->file, text, &parser, b->fault);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        r = on_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return r;
}

int yaml_doc_read(const char *file, Slice text, size_t max_bytes, YamlDoc **ret_doc, Fault *fault)
{
    int r = yaml_text_problem(file, text, max_bytes, fault);
    if (r)
        return r;
    CLEANUP_YAML YamlDoc *doc = MEM_NEW(YamlDoc);
    doc->file = mem_strdup(file);
    Builder *b = MEM_NEW(Builder);
    b->doc = doc;
    b->fault = fault;
    r = build(b, text);
    for (size_t i = 0; i < b->n_anchor; i++)
        mem_free(b->anchor[i].name);
    mem_free(b);
    if (r)
        return r;
    if (!doc->root)
        return fault_set(fault, -EINVAL, "%s:1:1: the file is empty", file);
    *ret_doc = STEAL(doc);
    return 0;
}

YamlDoc *yaml_doc_free(YamlDoc *doc)
{
    if (!doc)
        return NULL;
    for (size_t i = 0; i < doc->n_node; i++) {
        mem_free(doc->node[i]->text);
        mem_free(doc->node[i]->child);
        mem_free(doc->node[i]);
    }
    mem_free(doc->node);
    mem_free(doc->file);
    mem_free(doc);
    return NULL;
}
