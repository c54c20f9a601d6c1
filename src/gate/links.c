/* Base-URL mode: links that lead to the source itself lead back to this gate, so that a client which follows
 * them does not leave it. See client.h. */
#include "base/mem.h"
#include "gate/client.h"

#include <stdio.h>

/* The source's own URL (origin and base), without its port where that is the scheme's own, or with it. */
static bool write_own_url(const Origin *api, bool with_port, char url[PAGING_MAX_URL])
{
    bool literal = strchr(api->host, ':');
    char port[8] = "";
    if (with_port)
        snprintf(port, sizeof(port), ":%u", api->port);
    int n = snprintf(url, PAGING_MAX_URL, "%s://%s%s%s%s%s", api->tls ? "https" : "http", literal ? "[" : "",
                     api->host, literal ? "]" : "", port, api->base);
    return n < PAGING_MAX_URL;
}

static bool has_usual_port(const Origin *api)
{
    return api->port == (api->tls ? 443 : 80);
}

size_t links_own_url(const Client *client, Slice at)
{
    const Origin *api = &client->source->record.source.api;
    char url[PAGING_MAX_URL];
    for (int with_port = has_usual_port(api) ? 0 : 1; with_port < 2; with_port++) {
        if (!write_own_url(api, with_port, url))
            return 0;
        size_t len = strlen(url), origin = len - strlen(api->base); /* of which letter case says nothing */
        if (at.len >= len && slice_equal_nocase((Slice){at.ptr, origin}, (Slice){url, origin}) &&
            slice_starts((Slice){at.ptr + origin, at.len - origin}, api->base) &&
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

void links_begin(Client *client, const StreamResponse *response)
{
    char url[2][PAGING_MAX_URL] = {"", ""};
    client->rewriting = false;
    if (!client->prefix[0] || client->exchange.http10)
        return;
    for (size_t i = 0; i < response->n_header && !client->rewriting; i++)
        client->rewriting =
            slice_is_nocase(response->header[i].name, "Content-Type") && is_json(response->header[i].value);
    if (!client->rewriting)
        return;
    if (!client->paging)
        client->paging = MEM_NEW(Paging);
    const Origin *api = &client->source->record.source.api;
    bool usual = has_usual_port(api);
    client->rewriting = write_own_url(api, !usual, url[0]) && (!usual || write_own_url(api, true, url[1])) &&
                        paging_begin(client->paging, url[0], url[1], client->prefix) == 0;
}
