/* The chart's values, read on one machine: what purser.yaml has too is left of them, and a token is in this
 * machine's keyring, under the name of its Secret or, where it has none, of its source. See parse.h.
 *
 * The tree's nodes stay the document's; what is dropped is only no longer reached. A node that an alias leads
 * to is several values, so what differs from one source to the next is made anew for each.
 */
#include "config/parse.h"

#include "base/mem.h"

static const char *const top_keys[] = {"sources", "retrievers", "schedule", "timeZone"};
static const char *const retriever_keys[] = {"name",    "schedule", "timeZone", "script", "command",
                                             "sources", "policy",   "with",     "mode",   "until",
                                             "env",     "egress",   "limits",   "window", "jitter"};

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

/* A node of the document's own that stands where `like` does. */
static YamlNode *new_node(YamlDoc *doc, YamlKind kind, const YamlNode *like, const char *text)
{
    YamlNode *node = MEM_NEW(YamlNode);
    *node = (YamlNode){.kind = kind, .line = like->line, .column = like->column, .weight = 1};
    node->text = mem_strdup(text);
    MEM_PUSH(doc->node, doc->n_node, node);
    return node;
}

/* The Secret of a source's token, or NULL. */
static const char *secret_of(const YamlNode *source)
{
    const YamlNode *token = value_of(source, "token"), *place = value_of(token, "kubernetes");
    return text_of(value_of(token, "secretName"), text_of(value_of(place, "secretName"), NULL));
}

static void reduce_source(YamlDoc *doc, YamlNode *source)
{
    const YamlNode *token = value_of(source, "token");
    if (!token || token->kind != YAML_MAP || token->n_child < 2)
        return;
    const char *secret = secret_of(source);
    YamlNode *place = new_node(doc, YAML_MAP, token, "");
    MEM_PUSH(place->child, place->n_child,
             new_node(doc, YAML_TEXT, token, secret ? "secretName" : "keyring"));
    MEM_PUSH(place->child, place->n_child,
             new_node(doc, YAML_TEXT, token, secret ? secret : text_of(value_of(source, "name"), "")));
    for (size_t i = 0; i + 1 < source->n_child; i += 2)
        if (source->child[i + 1] == token)
            source->child[i + 1] = place;
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

/* The chart takes files and policies that stand in the values before those in its folders. Here they are read
 * from the folders alone: what would be another script or policy than the cluster's is refused. */
static int refuse_inline(const YamlDoc *doc, Fault *fault)
{
    const YamlNode *files = value_of(doc->root, "files"), *policies = value_of(doc->root, "policies");
    for (size_t i = 0; files && files->kind == YAML_MAP && i + 1 < files->n_child; i += 2) {
        const char *name = files->child[i]->text;
        if (files->child[i + 1]->n_child)
            return yaml_fault(
                doc, files->child[i], fault,
                "the files of %s stand in the values; here they are read from the folder files/%s/ beside "
                "the values: put them there, where the chart finds them too, and take 'files.%s' out",
                name, name, name);
    }
    if (policies && policies->kind == YAML_MAP && policies->n_child)
        return yaml_fault(
            doc, policies->child[0], fault,
            "the policy %s stands in the values; here it is read from policy/%s.yaml beside the values: "
            "put it there, where the chart finds it too, and take 'policies.%s' out",
            policies->child[0]->text, policies->child[0]->text, policies->child[0]->text);
    return 0;
}

int chart_values_reduce(YamlDoc *doc, Fault *fault)
{
    YamlNode *root = doc->root;
    YamlNode *sources = value_of(root, "sources"), *retrievers = value_of(root, "retrievers");
    int r = refuse_inline(doc, fault);
    if (r)
        return r;
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
            reduce_source(doc, sources->child[i]);
    return 0;
}
