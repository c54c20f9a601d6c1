/* A YAML file as a tree, read strictly: what purser.yaml, policies and providers have in common. Supervisor
 * only. Refused, each with "FILE:LINE:COLUMN: sentence": a file that is too large or not UTF-8, more than one
 * document, duplicate keys, tags, merge keys, an alias inside its own anchor, more nodes than a person would
 * write (aliases counted as often as they are used, so that ten lines cannot become a billion nodes), deeper
 * nesting than 32. Whether something is text or a number is for the reader of a field to say, by the style it
 * was written in: what is quoted is text.
 * Names: libyaml exports yaml_free, yaml_malloc, yaml_parser_... and whatever is called the same here takes
 * their place.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

#define YAML_MAX_DEPTH   32
#define YAML_MAX_NODES   50000
#define YAML_MAX_KEYS    512 /* of one mapping */
#define YAML_MAX_ANCHORS 256

typedef enum YamlKind { YAML_NULL, YAML_TEXT, YAML_LIST, YAML_MAP } YamlKind;

typedef struct YamlNode {
    YamlKind kind;
    bool plain;              /* YAML_TEXT without quotes */
    unsigned line, column;   /* from 1 */
    char *text;              /* YAML_TEXT: terminated, holds no NUL; else "" */
    struct YamlNode **child; /* items, or key, value, key, value ... */
    size_t n_child;
    size_t weight; /* nodes beneath and including it, aliases counted */
} YamlNode;

typedef struct YamlDoc {
    char *file; /* for messages */
    YamlNode *root;
    YamlNode **node; /* all of them, once each */
    size_t n_node;
} YamlDoc;

/* -EINVAL with a sentence, -EFBIG when the text is longer than max_bytes. */
int yaml_doc_read(const char *file, Slice text, size_t max_bytes, YamlDoc **ret_doc, Fault *fault) MUST_USE;
YamlDoc *yaml_doc_free(YamlDoc *doc); /* takes NULL, returns NULL */
DEFINE_CLEANUP(YamlDoc *, yaml_doc_free)
#define CLEANUP_YAML CLEANUP(yaml_doc_free_p)

/* The value of a key of a YAML_MAP, or NULL. */
const YamlNode *yaml_get(const YamlNode *map, const char *key);

/* "FILE:LINE:COLUMN: sentence" about a node; returns -EINVAL. */
int yaml_fault(const YamlDoc *doc, const YamlNode *node, Fault *fault, const char *fmt, ...) FORMAT(4, 5);

/* "a list", "a mapping", "text", "a number", "empty": for sentences. */
const char *yaml_kind_text(const YamlNode *node);
