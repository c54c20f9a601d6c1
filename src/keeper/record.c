/* A stream's records in the audit. See record.h. */
#include "keeper/record.h"

#include "base/clock.h"
#include "keeper/report.h"
#include "keeper/run.h"

static AuditEvent event_of(const Stream *stream, const char *event)
{
    return (AuditEvent){.event = event,
                        .run = stream->run->id,
                        .retriever = stream->run->retriever,
                        .source = stream->upstream ? stream->upstream->source.name : NULL,
                        .method = http_method_text(stream->method),
                        .host = stream->host[0] ? stream->host : NULL,
                        .target = slice_of(stream->path),
                        .operation = stream->summary[0] ? stream->summary : NULL,
                        .policy = stream->grant ? stream->grant->policy->name : NULL,
                        .rule = stream->rule};
}

static void measure(const Stream *stream, AuditEvent *event)
{
    event->measured = true;
    event->sent = stream->sent;
    event->received = stream->received;
    event->us = (uint64_t)(clock_mono() - stream->began);
}

static void say_would(const Stream *stream, AuditEvent *event)
{
    const Refused *would = &stream->decided.would;
    if (would->refusal == REFUSAL_NONE)
        return;
    event->decision = AUDIT_WOULD_REFUSE;
    event->code = refusal_kind(would->refusal)->code;
    event->sentence = would->fault.text;
}

void record_sent(Stream *stream)
{
    AuditEvent event = event_of(stream, "request.sent");
    event.decision = AUDIT_ALLOWED;
    say_would(stream, &event);
    stream->record = audit_add(stream->keeper->audit, &event);
}

void record_would(Stream *stream)
{
    const Refused *would = &stream->decided.would;
    if (would->refusal == REFUSAL_NONE)
        return;
    RunRefusal report = {.count = 1};
    report_fill(&report, RUN_WOULD_REFUSE, http_method_text(stream->method), stream->host,
                slice_of(stream->path), would->fault.text);
    report_refusal(stream->run, &report);
}

void record_answer(Stream *stream, unsigned status, bool whole)
{
    AuditEvent event = event_of(stream, "request");
    event.decision = AUDIT_ALLOWED;
    say_would(stream, &event);
    event.status = (int)status;
    event.whole = whole;
    event.of = stream->record;
    measure(stream, &event);
    stream->record = audit_add(stream->keeper->audit, &event);
    stream->unended = !whole;
}

void record_end(Stream *stream, bool whole, const char *code, const char *sentence)
{
    if (!stream->unended)
        return;
    stream->unended = false;
    AuditEvent event = {.event = "answer.end",
                        .run = stream->run->id,
                        .retriever = stream->run->retriever,
                        .source = stream->upstream->source.name,
                        .whole = whole,
                        .code = code,
                        .sentence = sentence,
                        .of = stream->record};
    measure(stream, &event);
    audit_add(stream->keeper->audit, &event);
}

static void count(Stream *stream, const Refused *refused, bool upstream)
{
    const RefusalKind *kind = refusal_kind(refused->refusal);
    if (stream->grant && upstream)
        stream->grant->count.failed++;
    else if (stream->grant)
        stream->grant->count.refused++;
    RunRefusal report = {.count = 1};
    report_fill(&report, kind->code, http_method_text(stream->method), stream->host, slice_of(stream->path),
                refused->fault.text);
    report_refusal(stream->run, &report);
}

void record_refusal(Stream *stream, const Refused *refused)
{
    const RefusalKind *kind = refusal_kind(refused->refusal);
    bool upstream =
        refused->refusal >= REFUSAL_UPSTREAM_NAME && refused->refusal <= REFUSAL_UPSTREAM_ENCODING;
    count(stream, refused, upstream);
    if (stream->unended) {
        record_end(stream, false, kind->code, refused->fault.text);
        return;
    }
    if (!upstream && !stream->record && !run_may_record(stream->run))
        return;
    AuditEvent event = event_of(stream, upstream ? "failed" : "refused");
    event.decision = upstream ? AUDIT_FAILED : AUDIT_REFUSED;
    event.status = kind->status;
    event.code = kind->code;
    event.sentence = refused->fault.text;
    event.of = stream->record;
    if (upstream)
        measure(stream, &event);
    audit_add(stream->keeper->audit, &event);
}

void record_left(Stream *stream)
{
    static const char code[] = "client-gone",
                      sentence[] = "the connection to the client ended before the answer was whole";
    if (stream->state == STREAM_RECORDED || stream->state == STREAM_DIALING ||
        stream->state == STREAM_ASKING || stream->state == STREAM_WAITING) {
        AuditEvent event = event_of(stream, "failed");
        event.decision = AUDIT_FAILED;
        event.code = code;
        event.sentence = sentence;
        event.of = stream->record;
        measure(stream, &event);
        audit_add(stream->keeper->audit, &event);
    }
    record_end(stream, false, code, sentence);
}
