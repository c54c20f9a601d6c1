/* purser's own answers. See refuse.h. */
#include "gate/refuse.h"

#include "base/json.h"
#include "gate/keeper-link.h"

#include <stdio.h>

#define MAX_REASON 200

/* One line of visible ASCII, cut. */
static void put_reason(char out[MAX_REASON + 1], const char *sentence)
{
    size_t n = 0;
    for (; n < MAX_REASON && sentence[n]; n++)
        out[n] = sentence[n] >= ' ' && sentence[n] <= '~' ? sentence[n] : '?';
    if (sentence[n])
        memcpy(out + n - 3, "...", 3);
    out[n] = '\0';
}

static int put_answer(Client *client, const Refusal *refusal, bool keep_alive, Buf *out)
{
    CLEANUP_BUF Buf body = BUF_INIT(8192);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_text(&json, "message", refusal->sentence);
    json_text(&json, "purser", refusal->code);
    if (refusal->graphql) {
        json_array_begin(&json, "errors");
        json_object_begin(&json, NULL);
        json_text(&json, "message", refusal->sentence);
        json_object_end(&json);
        json_array_end(&json);
    }
    json_object_end(&json);
    char reason[MAX_REASON + 1], retry[48] = "";
    put_reason(reason, refusal->sentence);
    if (refusal->retry_after)
        snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", refusal->retry_after);
    int r = json_finish(&json);
    if (!r)
        r = buf_printf(out,
                       "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                       "X-Purser-Error: %s\r\nCache-Control: no-store\r\n%s%s%s%s\r\n",
                       refusal->status, reason, body.len, refusal->code, retry,
                       refusal->status == 401 ? "WWW-Authenticate: Basic realm=\"purser\"\r\n" : "",
                       refusal->ask_proxy_key ? "Proxy-Authenticate: Basic realm=\"purser\"\r\n" : "",
                       !keep_alive               ? "Connection: close\r\n"
                       : client->exchange.http10 ? "Connection: keep-alive\r\n"
                                                 : "");
    if (!r && client->exchange.method != HTTP_HEAD)
        r = buf_append_slice(out, buf_slice(&body));
    return r;
}

void refuse(Client *client, const Refusal *refusal)
{
    Exchange *exchange = &client->exchange;
    bool keep_alive = exchange->keep_alive && exchange->up_done && !refusal->close;
    CLEANUP_BUF Buf answer = BUF_INIT(16384);
    int r = put_answer(client, refusal, keep_alive, &answer);
    if (!r)
        r = conn_write(&client->conn, buf_slice(&answer));
    if (r)
        client_drop(client, true);
    else if (keep_alive)
        client_become(client, CLIENT_HEAD);
    else
        client_finish(client);
}

void refuse_record(Client *client, const char *method, const char *host, Slice path, const char *code,
                   const char *sentence)
{
    RunRefusal record = {.count = 1};
    snprintf(record.run, sizeof(record.run), "%s", client->gate->setup.run);
    snprintf(record.code, sizeof(record.code), "%s", code);
    snprintf(record.method, sizeof(record.method), "%s", method);
    snprintf(record.host, sizeof(record.host), "%s", host);
    snprintf(record.path, sizeof(record.path), "%.*s", (int)(path.len < 1023 ? path.len : 1023), path.ptr);
    snprintf(record.sentence, sizeof(record.sentence), "%s", sentence);
    keeper_link_refused(client->gate, &record);
}

void refuse_recorded(Client *client, const HttpHead *head, const char *host, const Refusal *refusal)
{
    char method[16] = "?";
    Slice path = {"", 0}, query;
    if (head) {
        snprintf(method, sizeof(method), "%.*s",
                 (int)(head->method_text.len < 15 ? head->method_text.len : 15), head->method_text.ptr);
        if (head->method != HTTP_CONNECT) /* its target is the host, said already */
            slice_cut(head->target, '?', &path, &query);
    }
    refuse_record(client, method, host, path, refusal->code, refusal->sentence);
    refuse(client, refusal);
}
