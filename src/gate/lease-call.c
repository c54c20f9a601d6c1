/* The calls of the run's own socket, /purser/v1/...: a script asks about its lease. The gate checks the form,
 * the keeper answers. See client.h and docs/leases.md. */
#include "gate/client.h"
#include "gate/refuse.h"
#include "http/credential.h"

#include <errno.h>

static void refuse_call(Client *client, const HttpHead *head, int status, const char *code,
                        const char *sentence)
{
    const Refusal refusal = {.status = status, .code = code, .sentence = sentence};
    refuse_recorded(client, head, "", &refusal);
}

static bool find_lease(Client *client, const HttpHead *head, char credential[HTTP_MAX_CREDENTIAL],
                       Slice *ret_lease)
{
    size_t len = 0;
    int r = http_find_credential(head, (Slice){"", 0}, (Slice){"", 0}, credential, &len);
    *ret_lease = (Slice){credential, r ? 0 : len};
    if (r == 0 || r == HTTP_CREDENTIAL_NONE) /* the keeper has the sentence for none */
        return true;
    refuse_call(client, head, 400, r == HTTP_CREDENTIAL_MANY ? "credential-many" : "credential-bad",
                "send the lease as Authorization: Bearer, and nothing else that is a credential");
    return false;
}

static void ask(Client *client, StreamLeaseWhat what, Slice lease)
{
    unsigned char room[HTTP_MAX_CREDENTIAL + 64];
    WireWriter wire = WIRE_WRITER(room);
    const StreamLeaseAsk ask = {(uint8_t)what, lease};
    stream_lease_ask_put(&ask, &wire);
    int r = wire.failed ? -EMSGSIZE
                        : client_stream_send(client, IPC_LEASE_ASK, (Slice){(const char *)room, wire.len});
    explicit_bzero(room, sizeof(room));
    if (r == 0) {
        client_become(client, CLIENT_EXCHANGE);
        return;
    }
    const Refusal refusal = {r == -EAGAIN ? 503 : 502, r == -EAGAIN ? "keeper-busy" : "keeper-gone",
                             "purser's keeper cannot be asked now; try again", .retry_after = 1,
                             .close = true};
    refuse(client, &refusal);
}

void lease_call(Client *client, const HttpHead *head, Slice path)
{
    static const struct {
        const char *path;
        uint32_t method;
        StreamLeaseWhat what;
    } calls[] = {
        {"/purser/v1/lease", HTTP_GET, STREAM_LEASE_STATUS},
        {"/purser/v1/lease/revoke", HTTP_POST, STREAM_LEASE_REVOKE},
    };
    char credential[HTTP_MAX_CREDENTIAL];
    Slice lease;
    size_t i = 0;
    while (i < COUNT_OF(calls) && !slice_is(path, calls[i].path))
        i++;
    if (i == COUNT_OF(calls))
        refuse_call(client, head, 404, "unknown-call",
                    "purser's own calls are GET /purser/v1/lease and POST /purser/v1/lease/revoke");
    else if (head->method != calls[i].method)
        refuse_call(client, head, 405, "unknown-call", "this call of purser's has another method");
    else if (!client->exchange.up_done)
        refuse_call(client, head, 400, "unknown-call", "this call of purser's has no body");
    else if (find_lease(client, head, credential, &lease))
        ask(client, calls[i].what, lease);
    explicit_bzero(credential, sizeof(credential));
}
