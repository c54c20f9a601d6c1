/* The hosts of a source beside that of its REST API: its GraphQL endpoint's, those that rules of its policies
 * name, and those to which its API redirects for files. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

static bool same_place(const Origin *a, const char *host, uint16_t port)
{
    return a->port == port && strcmp(a->host, host) == 0;
}

/* The index of a host that is there already, or -1. */
static int32_t find_host(const Source *source, const char *host, uint16_t port)
{
    for (uint32_t i = 0; i < source_hosts(source); i++)
        if (same_place(source_origin(source, i), host, port))
            return (int32_t)i;
    return -1;
}

static int32_t add_host(Source *source, HostUse use, const char *host, uint16_t port, bool tls)
{
    int32_t there = find_host(source, host, port);
    if (there >= 0 || source_hosts(source) == CONFIG_MAX_HOSTS)
        return there;
    Origin origin = {.tls = tls, .host = mem_strdup(host), .port = port, .base = mem_strdup("")};
    MEM_PUSH(source->other, source->n_other, (SourceHost){use, origin});
    return (int32_t)source->n_other;
}

/* "graphql" beside "https://ghe.example/api/v3" is "https://ghe.example/api/graphql": RFC 3986, section 5.3.
 */
static char *graphql_beside(const char *reference, const Origin *api)
{
    const char *slash = strrchr(api->base, '/');
    size_t keep = *reference == '/' || !slash ? 0 : (size_t)(slash - api->base);
    return mem_printf("%.*s%s%s", (int)keep, api->base, *reference == '/' ? "" : "/", reference);
}

int place_graphql(Source *source, const char *reference, Fault *fault)
{
    Origin endpoint;
    mem_free(source->graphql_path);
    source->graphql_path = NULL;
    source->graphql_host = 0;
    if (!*reference || !strstr(reference, "://")) {
        source->graphql_path = *reference ? graphql_beside(reference, &source->api) : mem_strdup("");
        return 0;
    }
    int r = origin_parse(slice_of(reference), &endpoint, fault);
    if (r) {
        source->graphql_path = mem_strdup("");
        return r;
    }
    source->graphql_path = mem_strdup(*endpoint.base ? endpoint.base : "/");
    source->graphql_host =
        (uint32_t)add_host(source, HOST_GRAPHQL, endpoint.host, endpoint.port, endpoint.tls);
    origin_done(&endpoint);
    return 0;
}

bool is_artifact_host(const char *text)
{
    Slice host = slice_of(text);
    if (slice_starts(host, "*."))
        host = (Slice){host.ptr + 2, host.len - 2};
    /* A star before a whole top-level domain would be everybody's. */
    return text_is_host(host) && !memchr(host.ptr, ':', host.len) &&
           (text[0] != '*' || memchr(host.ptr, '.', host.len));
}

int place_artifacts(Source *source, char *const *host, size_t n, Fault *fault)
{
    for (size_t i = 0; i < n; i++)
        if (add_host(source, HOST_ARTIFACT, host[i], 443, true) < 0)
            return fault_set(fault, -EINVAL, "a source has at most %d hosts", CONFIG_MAX_HOSTS);
    return 0;
}

static int place_rules(Source *source, const Policy *policy, Fault *fault)
{
    for (size_t i = 0; i < policy->n_rule; i++) {
        const PolicyRule *rule = &policy->rule[i];
        if (!rule->host[0] || rule->deny)
            continue;
        int32_t at = add_host(source, HOST_RULE, rule->host, 443, true);
        if (at < 0)
            return fault_set(fault, -EINVAL,
                             "the source %s has more than %d hosts; its policies' rules name too many",
                             source->name, CONFIG_MAX_HOSTS);
        if (source_use(source, (uint32_t)at) == HOST_ARTIFACT)
            return fault_set(
                fault, -EINVAL,
                "policy %s, line %u: the host %s is one that the API of source %s redirects to for files; "
                "it is never sent a token, so no rule can name it",
                policy->name, rule->line, rule->host, source->name);
    }
    return 0;
}

int parse_rule_hosts(Loader *loader)
{
    Config *config = loader->config;
    Fault why = {""};
    for (size_t i = 0; i < config->n_retriever; i++) {
        const Retriever *retriever = &config->retriever[i];
        for (size_t k = 0; k < retriever->n_grant; k++) {
            const GrantRef *grant = &retriever->grant[k];
            if (place_rules(&config->source[grant->source], config->policy[grant->policy], &why))
                return fault_set(loader->fault, -EINVAL, "%s:%u:1: %s", config->path, retriever->line,
                                 why.text);
        }
    }
    return 0;
}

/* The source that `host` is one of, or NULL: such a host goes through the policy or not at all. */
static const Source *source_at(const Config *config, const char *host)
{
    for (size_t i = 0; i < config->n_source; i++)
        for (uint32_t k = 0; k < source_hosts(&config->source[i]); k++)
            if (host_matches(source_origin(&config->source[i], k)->host, slice_of(host)))
                return &config->source[i];
    return NULL;
}

int check_egress(Loader *loader, const YamlNode *retrievers)
{
    const Config *config = loader->config;
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t k = 0; k < config->retriever[i].n_egress; k++) {
            const char *host = config->retriever[i].egress[k].host;
            const Source *source = source_at(config, host);
            const YamlNode *list = yaml_get(retrievers->child[i], "egress");
            if (source)
                return yaml_fault(loader->doc, list->child[k], loader->fault,
                                  "%s is a host of the source %s (line %u); it is reached with a lease and "
                                  "under a policy, never "
                                  "as egress. Add %s to 'sources'",
                                  host, source->name, source->line, source->name);
        }
    return 0;
}
