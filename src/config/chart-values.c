/* The chart's values, read on one machine: what purser.yaml has too is left of them, and a token is in this
 * machine's keyring, under the name of its Secret or, where it has none, of its source. See parse.h.
 *
 * The tree's nodes stay the document's; what is dropped is only no longer reached.
 */
#include "config/parse.h"

#include "base/mem.h"

static const char *const top_keys[] = {"sources", "retrievers", "schedule", "timeZone"};
static const char *const retriever_keys[] = {"name",    "schedule", "timeZone", "script", "command",
                                             "sources", "policy",   "with",     "mode",   "until",
                                             "env",     "egress",   "limits",   "window", "jitter"};
static const char *const token_keys[] = {"secretName", "kubernetes"};

static bool is_one_of(const char *text, const char *const *word, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, word[i]) == 0)
            return true;
    return false;
}

/* An empty value is how a chart says that there is none. */
static bool says_nothing(const YamlNode *value)
{
    return value->kind == YAML_NULL || (value->kind == YAML_TEXT && !value->text[0]);
}

static void keep_keys(YamlNode *map, const char *const *word, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i + 1 < map->n_child; i += 2) {
        if (!is_one_of(map->child[i]->text, word, n) || says_nothing(map->child[i + 1]))
            continue;
        map->child[kept++] = map->child[i];
        map->child[kept++] = map->child[i + 1];
    }
    map->n_child = kept;
}

static YamlNode *value_of(const YamlNode *map, const char *key)
{
    return map && map->kind == YAML_MAP ? (YamlNode *)yaml_get(map, key) : NULL;
}

static const char *text_of(const YamlNode *node, const char *otherwise)
{
    return node && node->kind == YAML_TEXT && node->text[0] ? node->text : otherwise;
}

static void become_text(YamlNode *node, const char *text)
{
    char *copy = mem_strdup(text);
    mem_free(node->text);
    node->text = copy;
    node->kind = YAML_TEXT;
    node->plain = false;
    node->n_child = 0;
}

/* The Secret of a source's token, or NULL. */
static const char *secret_of(const YamlNode *source)
{
    const YamlNode *token = value_of(source, "token"), *place = value_of(token, "kubernetes");
    return text_of(value_of(token, "secretName"), text_of(value_of(place, "secretName"), NULL));
}

static void reduce_source(YamlNode *source)
{
    YamlNode *token = value_of(source, "token");
    if (!token || token->kind != YAML_MAP || token->n_child < 2)
        return;
    const char *secret = secret_of(source);
    CLEANUP_MEM char *name = mem_strdup(secret ? secret : text_of(value_of(source, "name"), ""));
    if (secret)
        keep_keys(token, token_keys, COUNT_OF(token_keys));
    token->n_child = 2;
    become_text(token->child[0], secret ? "secretName" : "keyring");
    become_text(token->child[1], name);
}

static bool is_lease(const YamlNode *sources, const YamlNode *entry)
{
    const YamlNode *ref = value_of(value_of(entry, "valueFrom"), "secretKeyRef");
    const char *name = text_of(value_of(ref, "name"), "");
    for (size_t i = 0; sources && sources->kind == YAML_LIST && i < sources->n_child; i++) {
        const char *secret = secret_of(sources->child[i]);
        if (secret && strcmp(secret, name) == 0)
            return true;
    }
    return false;
}

/* What only a cluster can resolve is left out. */
static void reduce_env(const YamlNode *sources, YamlNode *env)
{
    size_t kept = 0;
    for (size_t i = 0; env && env->kind == YAML_LIST && i < env->n_child; i++)
        if (!value_of(env->child[i], "valueFrom") || is_lease(sources, env->child[i]))
            env->child[kept++] = env->child[i];
    if (env)
        env->n_child = kept;
}

void chart_values_reduce(YamlNode *root)
{
    YamlNode *sources = value_of(root, "sources"), *retrievers = value_of(root, "retrievers");
    keep_keys(root, top_keys, COUNT_OF(top_keys));
    for (size_t i = 0; retrievers && retrievers->kind == YAML_LIST && i < retrievers->n_child; i++) {
        YamlNode *retriever = retrievers->child[i];
        if (retriever->kind != YAML_MAP)
            continue;
        keep_keys(retriever, retriever_keys, COUNT_OF(retriever_keys));
        reduce_env(sources, value_of(retriever, "env"));
    }
    for (size_t i = 0; sources && sources->kind == YAML_LIST && i < sources->n_child; i++)
        if (sources->child[i]->kind == YAML_MAP)
            reduce_source(sources->child[i]);
}
