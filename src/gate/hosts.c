/* Which host belongs to which source. See hosts.h. */
#include "gate/hosts.h"

#include "base/mem.h"

#include <arpa/inet.h>

static bool is_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static bool may_reach(const RunSourceInfo *source, uint32_t host)
{
    return source->record.hosts >> host & 1;
}

static void add_host(HostList *list, const Origin *origin)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->host[i].port == origin->port && strcmp(list->host[i].name, origin->host) == 0)
            return;
    Host host = {.name = origin->host, .port = origin->port, .tls = origin->tls};
    host.address = is_address(origin->host);
    MEM_PUSH(list->host, list->n, host);
}

void host_list_init(HostList *list, RunSourceInfo *source, size_t n_source)
{
    *list = (HostList){.source = source, .n_source = n_source};
    for (size_t i = 0; i < n_source; i++)
        for (uint32_t k = 0; k < source_hosts(&source[i].record.source); k++)
            if (may_reach(&source[i], k))
                add_host(list, source_origin(&source[i].record.source, k));
}

void host_list_done(HostList *list)
{
    mem_free(list->host);
    *list = (HostList){0};
}

const Host *host_list_find(const HostList *list, const char *name, uint16_t port)
{
    const Host *pattern = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const Host *host = &list->host[i];
        if (host->port != port)
            continue;
        if (strcmp(host->name, name) == 0) /* a host of its own goes before a pattern that means it too */
            return host;
        if (!pattern && host_matches(host->name, slice_of(name)))
            pattern = host;
    }
    return pattern;
}

static bool is_under(Slice path, Slice base)
{
    return path.len >= base.len && memcmp(path.ptr, base.ptr, base.len) == 0 &&
           (path.len == base.len || path.ptr[base.len] == '/');
}

/* The id is no secret: what counts is the tag behind it, which the keeper checks. */
static bool holds_lease(const RunSourceInfo *source, Slice credential)
{
    return source->lease_id[0] && slice_starts(credential, source->lease_id);
}

Place host_list_place(const HostList *list, const Host *host, Slice path, Slice credential)
{
    Place best = {0};
    size_t longest = 0;
    for (size_t i = 0; i < list->n_source; i++) {
        RunSourceInfo *source = &list->source[i];
        for (uint32_t k = 0; k < source_hosts(&source->record.source); k++) {
            const Origin *origin = source_origin(&source->record.source, k);
            if (!may_reach(source, k) || origin->port != host->port || strcmp(origin->host, host->name) != 0)
                continue;
            if (holds_lease(source, credential))
                return (Place){.source = source, .host = k};
            Slice base = slice_of(origin->base);
            if (!best.source || (is_under(path, base) && base.len > longest)) {
                best = (Place){.source = source, .host = k};
                longest = is_under(path, base) ? base.len : 0;
            }
        }
    }
    return best;
}

static int32_t host_of_source(const RunSourceInfo *source, Slice word)
{
    const Source *record = &source->record.source;
    if (slice_is(word, "graphql"))
        return record->graphql_path[0] ? (int32_t)record->graphql_host : -1;
    for (uint32_t k = 0; k < source_hosts(record); k++)
        if (may_reach(source, k) && source_use(record, k) != HOST_ARTIFACT &&
            slice_is(word, source_origin(record, k)->host))
            return (int32_t)k;
    return -1;
}

Place host_list_named(const HostList *list, Slice segment)
{
    Slice name, word;
    bool other = slice_cut(segment, '~', &name, &word);
    for (size_t i = 0; i < list->n_source; i++) {
        RunSourceInfo *source = &list->source[i];
        if (!slice_is(name, source->record.source.name))
            continue;
        int32_t host = other ? host_of_source(source, word) : 0;
        if (host < 0)
            break;
        return (Place){source, (uint32_t)host, other && slice_is(word, "graphql")};
    }
    return (Place){0};
}
