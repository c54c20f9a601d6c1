/* What a retriever may reach: a grant (source and policy) for each source that it uses, and `egress:`. See
 * parse.h. */
#include "config/parse.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>

static int add_grant(Loader *loader, const YamlNode *retriever_node, const YamlNode *policy, int32_t source,
                     Retriever *retriever)
{
    GrantRef grant = {.source = (uint32_t)source};
    int r = parse_policy(loader, retriever_node, policy, &loader->config->source[source], &grant);
    if (!r)
        MEM_PUSH(retriever->grant, retriever->n_grant, grant);
    return r;
}

static bool has_grant(const Retriever *retriever, int32_t source)
{
    for (size_t i = 0; i < retriever->n_grant; i++)
        if (retriever->grant[i].source == (uint32_t)source)
            return true;
    return false;
}

static int fault_no_source(Loader *loader, const YamlNode *node, const char *name)
{
    const char *word[CONFIG_MAX_SOURCES];
    for (size_t i = 0; i < loader->config->n_source; i++)
        word[i] = loader->config->source[i].name;
    const char *nearest = yaml_nearest(name, word, loader->config->n_source);
    return yaml_fault(loader->doc, node, loader->fault, "there is no source '%.80s'%s%s%s", name,
                      nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static int grant_listed(Loader *loader, const YamlNode *retriever_node, const YamlNode *sources,
                        const YamlNode *policy, Retriever *retriever)
{
    int r = yaml_want_list(loader->doc, sources, "sources", CONFIG_MAX_LIST, loader->fault);
    for (size_t i = 0; !r && i < sources->n_child; i++) {
        const YamlNode *item = sources->child[i];
        int32_t source = item->kind == YAML_TEXT ? config_find_source(loader->config, item->text) : -1;
        if (source < 0)
            return fault_no_source(loader, item, item->text);
        if (has_grant(retriever, source))
            return yaml_fault(loader->doc, item, loader->fault, "the source %s is there twice", item->text);
        r = add_grant(loader, retriever_node, policy, source, retriever);
    }
    return r;
}

/* Every source that `policy: {...}` names must be one that is granted. */
static int check_policy_keys(Loader *loader, const YamlNode *policy, const Retriever *retriever)
{
    if (!policy)
        return 0;
    if (policy->kind != YAML_MAP && policy->kind != YAML_TEXT)
        return yaml_fault(loader->doc, policy, loader->fault,
                          "'policy' is the name of a policy, or a mapping from source to policy, but is %s",
                          yaml_kind_text(policy));
    for (size_t i = 0; i + 1 < policy->n_child && policy->kind == YAML_MAP; i += 2) {
        const char *name = policy->child[i]->text;
        int32_t source = config_find_source(loader->config, name);
        if (source < 0)
            return fault_no_source(loader, policy->child[i], name);
        if (!has_grant(retriever, source))
            return yaml_fault(loader->doc, policy->child[i], loader->fault,
                              "this retriever does not use the source %s; add it to its 'sources'", name);
    }
    return 0;
}

static int check_revealed(Loader *loader, const YamlNode *node, const Retriever *retriever)
{
    size_t n = 0;
    for (size_t i = 0; i < retriever->n_grant; i++)
        n += loader->config->policy[retriever->grant[i].policy]->reveal;
    return n <= CONFIG_MAX_REVEALED
               ? 0
               : yaml_fault(loader->doc, node, loader->fault,
                            "the policies of the retriever %s reveal %zu tokens to it; at most %d can be",
                            retriever->name, n, CONFIG_MAX_REVEALED);
}

int parse_grants(Loader *loader, const YamlNode *retriever_node, const YamlNode *sources,
                 const YamlNode *policy, Retriever *retriever)
{
    int r = 0;
    if (sources) {
        r = grant_listed(loader, retriever_node, sources, policy, retriever);
    } else {
        for (size_t i = 0; !r && i < retriever->n_env; i++)
            if (retriever->env[i].source >= 0 && !has_grant(retriever, retriever->env[i].source))
                r = add_grant(loader, retriever_node, policy, retriever->env[i].source, retriever);
        if (!r && retriever->n_grant == 0)
            r = yaml_fault(
                loader->doc, retriever_node, loader->fault,
                "the retriever %s names no source; say 'sources: [%s]' ('sources: []' if it needs none)",
                retriever->name, loader->config->n_source ? loader->config->source[0].name : "NAME");
    }
    r = r ? r : check_apart(loader, retriever_node, policy, retriever);
    r = r ? r : check_revealed(loader, retriever_node, retriever);
    return r ? r : check_policy_keys(loader, policy, retriever);
}

/* "host", "host:port", "[v6]:port", "v6" */
static int split_host(Slice text, HostPort *ret_host)
{
    uint64_t port = 443;
    Slice host = text;
    const char *colon = memrchr(text.ptr, ':', text.len);
    bool bracket = slice_starts(text, "[");
    if (bracket) {
        const char *end = memchr(text.ptr, ']', text.len);
        if (!end)
            return -EINVAL;
        host = (Slice){text.ptr + 1, (size_t)(end - text.ptr) - 1};
        colon = end + 1 < text.ptr + text.len ? end + 1 : NULL;
        if (colon && *colon != ':')
            return -EINVAL;
    } else if (colon && memchr(text.ptr, ':', text.len) == colon) {
        host.len = (size_t)(colon - text.ptr);
    } else {
        colon = NULL;
    }
    if (colon) {
        Slice digits = {colon + 1, (size_t)(text.ptr + text.len - colon) - 1};
        if (text_parse_u64(digits, 65535, &port) || port == 0)
            return -EINVAL;
    }
    if (!text_is_host(host))
        return -EINVAL;
    *ret_host = (HostPort){mem_dup(host.ptr, host.len), (uint16_t)port};
    return 0;
}

int parse_egress(Loader *loader, const YamlNode *list, Retriever *retriever)
{
    if (!list)
        return 0;
    int r = yaml_want_list(loader->doc, list, "egress", CONFIG_MAX_LIST, loader->fault);
    for (size_t i = 0; !r && i < list->n_child; i++) {
        const YamlNode *item = list->child[i];
        HostPort host;
        if (item->kind != YAML_TEXT || split_host(slice_of(item->text), &host))
            return yaml_fault(
                loader->doc, item, loader->fault,
                "'egress' lists hosts, as in files.example or files.example:8443 (lower case, no https://, "
                "no wildcards)");
        MEM_PUSH(retriever->egress, retriever->n_egress, host);
    }
    return r;
}
