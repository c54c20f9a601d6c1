/* Proxy mode: CONNECT to a source's host (TLS begins here) or to an egress host (a tunnel), and what is
 * neither. */
#include "base/mem.h"
#include "gate/client.h"
#include "gate/keeper-link.h"
#include "gate/refuse.h"
#include "http/credential.h"
#include "http/target.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static void refuse_connect(Client *client, const HttpHead *head, const char *host, int status,
                           const char *code, const char *sentence)
{
    const Refusal refusal = {.status = status, .code = code, .sentence = sentence, .close = true};
    refuse_recorded(client, head, host, &refusal);
}

/* The proxy key, in constant time. A client that sent none is asked for it (git waits for that), and not
 * recorded. */
static bool check_key(Client *client, const HttpHead *head)
{
    char key[HTTP_MAX_CREDENTIAL] = {0};
    size_t len = 0;
    int r = http_find_proxy_password(head, key, &len);
    bool right = !r && len == GATE_KEY_LEN && sodium_memcmp(key, client->gate->proxy_key, GATE_KEY_LEN) == 0;
    sodium_memzero(key, sizeof(key));
    if (right)
        return true;
    const Refusal refusal = {407, "proxy-key",
                             "the proxy's key is missing or wrong: use HTTPS_PROXY as this run has it",
                             .ask_proxy_key = true};
    if (r == HTTP_CREDENTIAL_NONE)
        refuse(client, &refusal);
    else
        refuse_recorded(client, head, "", &refusal);
    return false;
}

static bool is_egress(const Gate *gate, const char *host, uint16_t port)
{
    for (size_t i = 0; i < gate->n_egress; i++)
        if (gate->egress[i].port == port && strcmp(gate->egress[i].host, host) == 0)
            return true;
    return false;
}

static void open_tunnel(Client *client, const HttpHead *head, const char *host, uint16_t port)
{
    Gate *gate = client->gate;
    if (++gate->last_tunnel == 0)
        gate->last_tunnel = 1;
    TunnelRecord tunnel = {.id = gate->last_tunnel, .port = port};
    snprintf(tunnel.host, sizeof(tunnel.host), "%s", host);
    int r = keeper_link_tunnel(gate, &tunnel);
    if (r) {
        refuse_connect(client, head, host, r == -EAGAIN ? 503 : 502,
                       r == -EAGAIN ? "keeper-busy" : "keeper-gone",
                       "purser's keeper cannot be asked to open this tunnel now; try again");
        return;
    }
    client->tunnel = tunnel.id;
    client_become(client, CLIENT_TUNNEL_WAIT);
}

static void refuse_host(Client *client, const HttpHead *head, const char *host, uint16_t port)
{
    Gate *gate = client->gate;
    Fault why;
    char place[300];
    bool literal = strchr(host, ':');
    snprintf(place, sizeof(place), port == 443 ? "%s%s%s" : "%s%s%s:%u", literal ? "[" : "", host,
             literal ? "]" : "", port);
    fault_set(
        &why, 0,
        "%s is no host of this run: add egress: [%s] to retriever %s in purser.yaml, or a source for it",
        place, place, gate->setup.retriever);
    refuse_connect(client, head, host, 403, "host-denied", why.text);
}

static void start_tls(Client *client, const Host *host, const char *name)
{
    if (conn_write(&client->conn, SLICE_LITERAL("HTTP/1.1 200 Connection established\r\n\r\n"))) {
        client_drop(client, true);
        return;
    }
    client->host = host;
    snprintf(client->authority, sizeof(client->authority), "%s", name);
    client_become(client, CLIENT_HANDSHAKE);
}

static bool same_authority(const HttpHead *head, const char *host, uint16_t port)
{
    char name[254];
    uint16_t named_port;
    return head->host.len == 0 || (!target_parse_authority(head->host, port, name, &named_port, NULL) &&
                                   named_port == port && strcmp(name, host) == 0);
}

/* The gate's own port, by any name of loopback. */
static bool is_here(const Gate *gate, const char *name, uint16_t port)
{
    return port == gate->setup.port &&
           (strcmp(name, "127.0.0.1") == 0 || strcmp(name, "localhost") == 0 || strcmp(name, "::1") == 0);
}

/* Node 24 asks for a tunnel even to plain http, so to the base URL as well: the client is there already. */
static void stay_here(Client *client)
{
    if (conn_write(&client->conn, SLICE_LITERAL("HTTP/1.1 200 Connection established\r\n\r\n")))
        client_drop(client, true);
    else
        client_become(client, CLIENT_HEAD);
}

void proxy_connect(Client *client, const HttpHead *head)
{
    char name[254];
    uint16_t port;
    Fault fault;
    if (client->host || client->unix_socket) {
        refuse_connect(client, head, "", 405, "connect",
                       "CONNECT is for the proxy's own port, once: see HTTPS_PROXY of this run");
        return;
    }
    if (target_parse_authority(head->target, 0, name, &port, &fault)) {
        refuse_connect(client, head, "", 400, "bad-target", fault.text);
        return;
    }
    if (head->framing != HTTP_NO_BODY) {
        refuse_connect(client, head, name, 400, "bad-request", "a CONNECT has no body");
        return;
    }
    if (!same_authority(head, name, port)) {
        refuse_connect(client, head, name, 400, "host-mismatch",
                       "CONNECT and its Host name different places");
        return;
    }
    if (!check_key(client, head))
        return;
    const Host *host = host_list_find(&client->gate->hosts, name, port);
    if (host && host->tls)
        start_tls(client, host, name);
    else if (host)
        refuse_connect(client, head, name, 403, "plain-http",
                       "this source speaks plain http: use its base URL, <SOURCE>_API_URL");
    else if (is_here(client->gate, name, port))
        stay_here(client);
    else if (is_egress(client->gate, name, port))
        open_tunnel(client, head, name, port);
    else
        refuse_host(client, head, name, port);
}

/* With HTTP_PROXY set, clients send what is meant for the gate itself (the base URL) in absolute form as
 * well. */
bool proxy_absolute(Client *client, const HttpHead *head, Slice *ret_target)
{
    Slice rest = head->target, place;
    char name[254];
    uint16_t port;
    Fault fault;
    if (!slice_starts_nocase(rest, "http://")) {
        refuse_connect(
            client, head, "", 400, "bad-target",
            "the request's target is neither a path nor http://; for https a proxy is sent CONNECT");
        return false;
    }
    rest = (Slice){rest.ptr + 7, rest.len - 7};
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
        n++;
    place = (Slice){rest.ptr, n};
    if (target_parse_authority(place, 80, name, &port, &fault)) {
        refuse_connect(client, head, "", 400, "bad-target", fault.text);
        return false;
    }
    if (is_here(client->gate, name, port) && same_authority(head, name, port)) {
        *ret_target = (Slice){rest.ptr + n, rest.len - n};
        return true;
    }
    fault_set(&fault, 0,
              "plain http to %s is refused: a token or an answer could be read and altered on its way; "
              "use https://%s",
              name, name);
    refuse_connect(client, head, name, 403, "plain-http", fault.text);
    return false;
}
