/* What a script asks about its lease. See lease-ask.h. */
#include "keeper/lease-ask.h"

#include "base/clock.h"
#include "base/json.h"
#include "keeper/run.h"

#include <sodium.h>
#include <stdio.h>

#define MAX_ANSWER (32u << 10)

/* Of the lease and of what it was narrowed to, whichever is less. */
static void put_left(JsonWriter *json, const char *key, uint64_t limit, uint64_t spent, uint64_t narrowed)
{
    uint64_t left = limit > spent ? limit - spent : 0;
    json_object_begin(json, key);
    json_u64(json, "limit", limit);
    json_u64(json, "left", left < narrowed ? left : narrowed);
    json_object_end(json);
}

typedef uint64_t LeftAt(const Narrowed *narrowed, const Narrowing *narrowing, size_t at);

static uint64_t least_left(const Run *run, const Narrowing *narrowing, LeftAt *left_at)
{
    uint64_t least = NARROWED_NO_LIMIT;
    for (size_t i = 0; i < narrowing->n; i++) {
        uint64_t left = left_at(&run->narrowed, narrowing, i);
        least = left < least ? left : least;
    }
    return least;
}

static void put_budgets(JsonWriter *json, const Run *run, const Presented *presented)
{
    const Budget *budget = &presented->grant->budget;
    const Narrowing *narrowing = &presented->narrowing;
    put_left(json, "requests", budget->limit.requests, budget->requests,
             least_left(run, narrowing, narrowed_requests_left));
    put_left(json, "requestBytes", budget->limit.request_bytes, budget->request_bytes, NARROWED_NO_LIMIT);
    put_left(json, "responseBytes", budget->limit.response_bytes, budget->response_bytes,
             least_left(run, narrowing, narrowed_bytes_left));
    if (budget->limit.graphql_cost != UINT64_MAX)
        put_left(json, "graphqlCost", budget->limit.graphql_cost, budget->graphql_cost, NARROWED_NO_LIMIT);
    json_double(json, "ratePerSecond", (double)budget->limit.per_kilosecond / 1000);
}

static void put_number(JsonWriter *json, const char *key, uint64_t value)
{
    if (value == HTTP_LIMIT_UNKNOWN)
        json_nothing(json, key);
    else
        json_u64(json, key, value);
}

/* Those that still count something. */
static void put_limits(JsonWriter *json, const Limits *limits, int64_t now, int64_t wall)
{
    json_array_begin(json, "limits");
    for (size_t i = 0; i < limits->n; i++) {
        const Limit *limit = &limits->limit[i];
        if (!limits_is_current(limit, now))
            continue;
        json_object_begin(json, NULL);
        json_text(json, "name", limit->name);
        put_number(json, "limit", limit->limit);
        put_number(json, "remaining", limit->remaining);
        json_u64(json, "reserved", limits_reserved(limits, limit));
        json_time(json, "reset", wall + (limit->reset - now));
        json_object_end(json);
    }
    json_array_end(json);
    json_time(json, "pausedUntil", limits->paused > now ? wall + (limits->paused - now) : 0);
}

static int64_t earliest_end(const Presented *presented, int64_t now, int64_t wall)
{
    int64_t expires = presented->grant->budget.expires, end;
    if (__builtin_add_overflow(wall, expires - now, &end))
        end = INT64_MAX;
    if (presented->narrowing.n && presented->narrowing.expires < end)
        end = presented->narrowing.expires;
    return end;
}

static void put_status(JsonWriter *json, const Run *run, const Presented *presented)
{
    const Grant *grant = presented->grant;
    int64_t now = clock_mono(), wall = clock_wall();
    json_object_begin(json, NULL);
    json_text(json, "source", grant->origin->name);
    json_text(json, "policy", grant->policy->name);
    json_time(json, "expires", earliest_end(presented, now, wall));
    json_array_begin(json, "caveats");
    for (size_t i = 0; i < presented->narrowing.n; i++)
        json_text(json, NULL, presented->claims.caveat[i]);
    json_array_end(json);
    put_budgets(json, run, presented);
    if (grant->share->rate)
        json_double(json, "sourceRatePerSecond", (double)grant->share->rate / 1000);
    put_limits(json, grant->limits, now, wall);
    json_object_end(json);
}

static void answer(Stream *stream, const Buf *body)
{
    static unsigned char room[MAX_ANSWER + 1024];
    HttpHeader header[] = {{SLICE_LITERAL("Content-Type"), SLICE_LITERAL("application/json")},
                           {SLICE_LITERAL("Cache-Control"), SLICE_LITERAL("no-store")}};
    StreamResponse response = {.status = 200,
                               .reason = SLICE_LITERAL("OK"),
                               .content_length = body->len,
                               .end = true,
                               .header = header,
                               .n_header = COUNT_OF(header),
                               .body = buf_slice(body)};
    WireWriter wire = WIRE_WRITER(room);
    stream_response_put(&response, &wire);
    if (wire.failed)
        stream_free(stream);
    else
        stream_say(stream, IPC_RESPONSE, (Slice){(const char *)room, wire.len});
}

static bool end_lease(Stream *stream, const Presented *presented, Refused *refused)
{
    Run *run = stream->run;
    const Narrowing *narrowing = &presented->narrowing;
    if (narrowing->n == 0)
        presented->grant->budget.revoked = true;
    else if (!decide_narrowed(narrowed_revoke(&run->narrowed, narrowing), refused))
        return false;
    AuditEvent event = {.event = "lease.revoke",
                        .run = run->id,
                        .retriever = run->retriever,
                        .source = presented->grant->origin->name,
                        .sentence = narrowing->n ? presented->claims.caveat[narrowing->n - 1] : NULL,
                        .count = narrowing->n};
    if (narrowing->n == 0 || run_may_record_revoke(run)) /* the run's own lease ends once */
        audit_add(run->keeper->audit, &event);
    run_end_streams(run, presented->grant, narrowing);
    return true;
}

static void put_revoked(JsonWriter *json, const Presented *presented)
{
    json_object_begin(json, NULL);
    json_text(json, "source", presented->grant->origin->name);
    json_bool(json, "revoked", true);
    json_bool(json, "whole", presented->narrowing.n == 0);
    json_object_end(json);
}

static void note_call(Stream *stream, bool revokes)
{
    stream->grant = NULL;
    stream->upstream = NULL;
    stream->host[0] = 0;
    stream->body_open = false;
    stream->decided = (Decided){0};
    stream->graphql = false;
    stream->summary[0] = 0;
    stream->rule = 0;
    stream->sent = stream->received = stream->record = 0;
    stream->began = clock_mono();
    stream->method = revokes ? HTTP_POST : HTTP_GET;
    snprintf(stream->path, sizeof(stream->path), "/purser/v1/lease%s", revokes ? "/revoke" : "");
}

void lease_asked(Stream *stream, Slice payload)
{
    static Presented presented; /* one thread */
    CLEANUP_BUF Buf body = BUF_INIT(MAX_ANSWER);
    JsonWriter json = JSON_WRITER(&body);
    StreamLeaseAsk ask;
    Refused refused;
    WireReader wire = WIRE_READER(payload.ptr, payload.len);
    if (stream_lease_ask_get(&wire, &ask) != 0 || stream->parked || stream_blocked(stream)) {
        run_distrust(stream->run);
        return;
    }
    bool revokes = ask.what == STREAM_LEASE_REVOKE;
    const StreamRequest request = {.credential = ask.credential};
    DecideRequest question = run_question(stream->run, &request, NULL);
    note_call(stream, revokes);
    bool yes = decide_lease(&question, &presented, &refused) &&
               (!revokes || end_lease(stream, &presented, &refused));
    sodium_memzero((char *)ask.credential.ptr, ask.credential.len);
    if (!yes) {
        stream_refuse(stream, &refused);
        return;
    }
    revokes ? put_revoked(&json, &presented) : put_status(&json, stream->run, &presented);
    if (json_finish(&json) != 0)
        stream_free(stream);
    else
        answer(stream, &body);
}
