/* To which TCP ports a role is to connect. See config.h. */
#include "config/config.h"

#include "base/text.h"

uint16_t port_at_end(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;
    return colon && text_parse_u64(slice_of(colon + 1), UINT16_MAX, &port) == 0 ? (uint16_t)port : 0;
}

void ports_add(Ports *ports, uint16_t port)
{
    for (size_t i = 0; i < ports->n; i++)
        if (ports->port[i] == port)
            return;
    if (port && ports->n < COUNT_OF(ports->port))
        ports->port[ports->n++] = port;
}

static uint16_t mint_port(const Mint *mint)
{
    Origin origin;
    if (!mint || origin_parse(slice_of(mint->url), &origin, NULL))
        return 0;
    uint16_t port = origin.port;
    origin_done(&origin);
    return port;
}

void ports_add_source(Ports *ports, const Source *source, const TokenRef *token)
{
    for (uint32_t k = 0; k < source_hosts(source); k++)
        ports_add(ports, source_origin(source, k)->port);
    ports_add(ports, port_at_end(source->connect_to));
    ports_add(ports, mint_port(token->mint));
}
