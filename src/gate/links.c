/* Base-URL mode: links that lead to the source itself lead back to this gate, so that a client which follows
 * them does not leave it. See client.h. */
#include "base/mem.h"
#include "gate/client.h"

#include <stdio.h>

void links_of_source(RunSourceInfo *source)
{
    const Origin *api = &source->record.source.api;
    bool literal = strchr(api->host, ':'), usual = api->port == (api->tls ? 443 : 80);
    char url[2][PAGING_MAX_URL + 1], port[8];
    snprintf(port, sizeof(port), ":%u", api->port);
    for (int with_port = 0; with_port < 2; with_port++)
        snprintf(url[with_port], sizeof(url[0]), "%s://%s%s%s%s%s", api->tls ? "https" : "http",
                 literal ? "[" : "", api->host, literal ? "]" : "", with_port ? port : "", api->base);
    if (paging_url(&source->own, url[usual ? 0 : 1], usual ? url[1] : ""))
        source->own = (PagingUrl){0};
}

size_t links_own_url(const Client *client, Slice at)
{
    const PagingUrl *own = &client->source->own;
    for (int i = 0; i < 2; i++) {
        size_t len = own->len[i], origin = own->origin[i];
        if (len && at.len >= len &&
            slice_equal_nocase((Slice){at.ptr, origin}, (Slice){own->text[i], origin}) &&
            memcmp(at.ptr + origin, own->text[i] + origin, len - origin) == 0 &&
            (at.len == len || (at.ptr[len] && strchr("/?#>", at.ptr[len]))))
            return len;
    }
    return 0;
}

/* application/json, and what is called ...+json. */
static bool is_json(Slice type)
{
    Slice essence, parameters;
    slice_cut(type, ';', &essence, &parameters);
    essence = slice_trim(essence);
    return slice_is_nocase(essence, "application/json") ||
           (slice_starts_nocase(essence, "application/") && essence.len > 17 &&
            slice_is_nocase((Slice){essence.ptr + essence.len - 5, 5}, "+json"));
}

_Static_assert(sizeof(((Client *)0)->prefix) <= PAGING_MAX_URL, "what stands for a link");

void links_begin(Client *client, const StreamResponse *response)
{
    client->rewriting = false;
    if (!client->prefix[0] || client->exchange.http10 || !client->source->own.len[0])
        return;
    for (size_t i = 0; i < response->n_header && !client->rewriting; i++)
        client->rewriting =
            slice_is_nocase(response->header[i].name, "Content-Type") && is_json(response->header[i].value);
    if (!client->rewriting)
        return;
    if (!client->paging)
        client->paging = MEM_NEW(Paging);
    paging_begin(client->paging, &client->source->own, client->prefix);
}
