/* Which host belongs to which source. See hosts.h. */
#include "gate/hosts.h"

#include "base/mem.h"

#include <arpa/inet.h>

static bool is_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

void host_list_init(HostList *list, RunSourceInfo *source, size_t n_source)
{
    *list = (HostList){.host = MEM_NEW_ARRAY(Host, n_source), .source = source, .n_source = n_source};
    for (size_t i = 0; i < n_source; i++) {
        const Origin *api = &source[i].record.source.api;
        if (!host_list_find(list, api->host, api->port))
            list->host[list->n++] = (Host){
                .name = api->host, .port = api->port, .tls = api->tls, .address = is_address(api->host)};
    }
}

void host_list_done(HostList *list)
{
    mem_free(list->host);
    *list = (HostList){0};
}

const Host *host_list_find(const HostList *list, const char *name, uint16_t port)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->host[i].port == port && strcmp(list->host[i].name, name) == 0)
            return &list->host[i];
    return NULL;
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

RunSourceInfo *host_list_source(const HostList *list, const Host *host, Slice path, Slice credential)
{
    RunSourceInfo *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < list->n_source; i++) {
        RunSourceInfo *source = &list->source[i];
        const Origin *api = &source->record.source.api;
        if (api->port != host->port || strcmp(api->host, host->name) != 0)
            continue;
        if (holds_lease(source, credential))
            return source;
        Slice base = slice_of(api->base);
        if (!best || (is_under(path, base) && base.len > longest)) {
            best = source;
            longest = is_under(path, base) ? base.len : 0;
        }
    }
    return best;
}

RunSourceInfo *host_list_named(const HostList *list, Slice name)
{
    for (size_t i = 0; i < list->n_source; i++)
        if (slice_is(name, list->source[i].record.source.name))
            return &list->source[i];
    return NULL;
}

const RunSourceInfo *host_list_graphql(const HostList *list, const char *name)
{
    for (size_t i = 0; i < list->n_source; i++) {
        Slice url = slice_of(list->source[i].record.source.graphql_url), want = slice_of(name);
        if (!slice_starts(url, "https://"))
            continue;
        url = (Slice){url.ptr + 8, url.len - 8};
        if (url.len >= want.len && slice_equal_nocase((Slice){url.ptr, want.len}, want) &&
            (url.len == want.len || url.ptr[want.len] == '/' || url.ptr[want.len] == ':'))
            return &list->source[i];
    }
    return NULL;
}
