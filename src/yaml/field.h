/* Reading a mapping into a struct by a table of its fields. Unknown keys are refused ("did you mean ...?"),
 * wrong types and values are refused with the place, and what is left out keeps the value that the struct
 * had.
 *
 * A text field takes a word with or without quotes, but never an empty value, null or ~; a number, size,
 * duration or rate may be in quotes too, since their own grammar says what they are; a bool is plain true or
 * false.
 */
#pragma once

#include "yaml/tree.h"

#define YAML_MAX_TEXT 1024 /* of a text field that says no other limit */
#define YAML_MAX_LIST 64   /* of a list of texts that says no other limit */

typedef enum YamlAs {
    YAML_AS_TEXT,     /* char *: replaced; no control characters */
    YAML_AS_VERBATIM, /* char *: the same, with newlines and tabs, and it may be "" when quoted */
    YAML_AS_NAME,     /* char *: text_is_name() */
    YAML_AS_TEXTS,    /* char **, and size_t at `count`: a list */
    YAML_AS_BOOL,     /* bool */
    YAML_AS_U32,
    YAML_AS_U64,
    YAML_AS_SIZE,     /* uint64_t, bytes: 500MiB */
    YAML_AS_DURATION, /* uint64_t, us: 10m */
    YAML_AS_RATE,     /* uint64_t, per 1,000 s: 20/s */
    YAML_AS_NODE,     /* const YamlNode *: for the caller to read */
} YamlAs;

typedef struct YamlField {
    const char *key;
    YamlAs as;
    size_t offset;
    size_t count;  /* YAML_AS_TEXTS */
    uint64_t most; /* bytes of a text, items of a list, or the greatest number; 0: the default */
    bool required;
} YamlField;

#define YAML_FIELD(T, key_, as_, member, ...)                                                                \
    {                                                                                                        \
        .key = (key_), .as = (as_), .offset = offsetof(T, member), ##__VA_ARGS__                             \
    }

/* `what`: for sentences, "a source". `into` must be freeable as it is, at any time. -EINVAL with a sentence.
 */
int yaml_read_map(const YamlDoc *doc, const YamlNode *map, const char *what, const YamlField *field,
                  size_t n_field, void *into, Fault *fault) MUST_USE;
#define YAML_READ_MAP(doc, map, what, fields, into, fault)                                                   \
    yaml_read_map((doc), (map), (what), (fields), COUNT_OF(fields), (into), (fault))

/* One value, as in a list of them. ret_text is replaced. */
int yaml_read_text(const YamlDoc *doc, const YamlNode *node, const char *key, size_t most, char **ret_text,
                   Fault *fault) MUST_USE;

/* That it is a list (map) of at most `most` items (keys). */
int yaml_want_list(const YamlDoc *doc, const YamlNode *node, const char *key, size_t most,
                   Fault *fault) MUST_USE;
int yaml_want_map(const YamlDoc *doc, const YamlNode *node, const char *key, Fault *fault) MUST_USE;

/* The nearest of the words to what was written, or NULL when none is near: "sorces" -> "sources". */
const char *yaml_nearest(const char *written, const char *const *word, size_t n_word);
