/* Which variables the script gets: leases where its libraries look for tokens, the way to the gate, the run's
 * window.
 *
 * The retriever's own `env:` may name any variable but those that lead to the gate. base_env names are not
 * set: a library that finds its API's URL there would leave the https way, which needs no change, for the
 * base URL.
 */
#include "base/text.h"
#include "gate/gate.h"

#include <stdio.h>

static const char *const proxy_names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY",
                                          "http_proxy",  "ALL_PROXY",   "all_proxy"};
static const char *const empty_names[] = {"NO_PROXY", "no_proxy"};

static Slice lease_of(const Gate *gate, size_t source)
{
    const char *lease = gate->runner.lease[source];
    return lease ? slice_of(lease) : (Slice){NULL, 0};
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(proxy_names); i++)
        if (strcmp(name, proxy_names[i]) == 0)
            return true;
    for (size_t i = 0; i < COUNT_OF(empty_names); i++)
        if (strcmp(name, empty_names[i]) == 0)
            return true;
    return strncmp(name, "PURSER_", 7) == 0;
}

/* The retriever's own word for it, or an earlier source's. */
static bool is_taken(const Gate *gate, size_t source, const char *name)
{
    for (size_t i = 0; i < gate->n_env; i++)
        if (strcmp(gate->env[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < source; i++) {
        const Source *other = &gate->source[i].record.source;
        for (size_t j = 0; j < other->n_token_env; j++)
            if (gate->runner.lease[i] && strcmp(other->token_env[j], name) == 0)
                return true;
    }
    return false;
}

/* By the source's name alone: its lease for `purser lease`, and where its token is, if it is revealed. */
static int give_named(Gate *gate, size_t i, RunEnvGive *give)
{
    const GateSource *source = &gate->source[i].record;
    Slice lease = lease_of(gate, i);
    char variable[64], name[96];
    text_variable(variable, sizeof(variable), source->source.name, "");
    snprintf(name, sizeof(name), "PURSER_LEASE_%s", variable);
    int r = lease.ptr ? give(gate, name, lease) : 0;
    snprintf(name, sizeof(name), "PURSER_TOKEN_FILE_%s", variable);
    return r || !source->token_file[0] ? r : give(gate, name, slice_of(source->token_file));
}

static int give_source(Gate *gate, size_t i, RunEnvGive *give)
{
    const Source *source = &gate->source[i].record.source;
    Slice lease = lease_of(gate, i);
    char name[80], value[128];
    int r = 0;
    for (size_t j = 0; !r && lease.ptr && j < source->n_token_env; j++)
        if (!is_taken(gate, i, source->token_env[j]) && !is_reserved(source->token_env[j]))
            r = give(gate, source->token_env[j], lease);
    r = r ? r : give_named(gate, i, give);
    text_variable(name, sizeof(name), source->name, "_API_URL");
    snprintf(value, sizeof(value), "http://127.0.0.1:%u/%s", gate->setup.port, source->name);
    if (!r && !is_taken(gate, i, name))
        r = give(gate, name, slice_of(value));
    text_variable(name, sizeof(name), source->name, "_GRAPHQL_URL");
    snprintf(value, sizeof(value), "http://127.0.0.1:%u/%s~graphql", gate->setup.port, source->name);
    return r || !source->graphql_path[0] || is_taken(gate, i, name) ? r : give(gate, name, slice_of(value));
}

static int give_own(Gate *gate, const EnvEntry *entry, RunEnvGive *give)
{
    if (is_reserved(entry->name))
        return 0;
    if (entry->source < 0)
        return give(gate, entry->name, slice_of(entry->value));
    for (size_t i = 0; i < gate->n_source; i++)
        if (gate->source[i].record.index == (uint32_t)entry->source && gate->runner.lease[i])
            return give(gate, entry->name, lease_of(gate, i));
    return 0;
}

static int give_way(Gate *gate, RunEnvGive *give)
{
    char proxy[128];
    snprintf(proxy, sizeof(proxy), "http://run:%s@127.0.0.1:%u", gate->proxy_key, gate->setup.port);
    int r = 0;
    for (size_t i = 0; !r && i < COUNT_OF(proxy_names); i++)
        r = give(gate, proxy_names[i], slice_of(proxy));
    for (size_t i = 0; !r && i < COUNT_OF(empty_names); i++)
        r = give(gate, empty_names[i], slice_of(""));
    const struct {
        const char *name, *value;
    } own[] = {
        {"PURSER_SOCKET", gate->setup.socket_path},  {"PURSER_RUN", gate->setup.run},
        {"PURSER_RETRIEVER", gate->setup.retriever}, {"PURSER_SINCE", gate->setup.since},
        {"PURSER_UNTIL", gate->setup.until},
    };
    for (size_t i = 0; !r && i < COUNT_OF(own); i++)
        r = give(gate, own[i].name, slice_of(own[i].value));
    return r;
}

int run_env_each(Gate *gate, RunEnvGive *give)
{
    int r = 0;
    for (size_t i = 0; !r && i < gate->n_source; i++)
        r = give_source(gate, i, give);
    for (size_t i = 0; !r && i < gate->n_env; i++)
        r = give_own(gate, &gate->env[i], give);
    return r ? r : give_way(gate, give);
}
