/* The audit's hash chain: writing. See audit.h. */
#include "audit/audit.h"

#include "audit/chain.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>

struct Audit {
    int fd;
    uint64_t number; /* of the next record */
    uint64_t lost;   /* events that had no room while nothing could be written; said as soon as there is */
    AuditHash previous;
    Buf waiting; /* lines of this turn */
};

#define MAX_WAITING (4u << 20)

int audit_open(int fd, Audit **ret_audit, Fault *fault)
{
    AuditChain chain = AUDIT_CHAIN_START;
    int r = audit_chain_read_end(fd, &chain);
    if (r) {
        fd_close(&fd);
        return fault_set(fault, r, "The audit cannot be continued: %s.", strerror(-r));
    }
    Audit *audit = MEM_NEW(Audit);
    *audit =
        (Audit){.fd = fd, .number = chain.number, .previous = chain.last, .waiting = BUF_INIT(MAX_WAITING)};
    /* What a crash left of a last line is ended, so that it is a (broken, and bound) line of its own. */
    if (chain.unfinished && (r = buf_append(&audit->waiting, "\n", 1))) {
        audit_free(audit);
        return fault_set(fault, r, "The audit cannot be continued: %s.", strerror(-r));
    }
    *ret_audit = audit;
    return 0;
}

static void put_optional(JsonWriter *json, const char *key, const char *value)
{
    if (value)
        json_text(json, key, value);
}

static void put_event(JsonWriter *json, const Audit *audit, const AuditEvent *event)
{
    char hex[AUDIT_HEX];
    json_object_begin(json, NULL);
    json_u64(json, "n", audit->number);
    json_time(json, "time", clock_wall());
    json_text(json, "event", event->event);
    put_optional(json, "run", event->run);
    put_optional(json, "retriever", event->retriever);
    put_optional(json, "source", event->source);
    put_optional(json, "method", event->method);
    put_optional(json, "host", event->host);
    if (event->target.len)
        json_slice(json, "path",
                   (Slice){event->target.ptr, event->target.len > 2048 ? 2048 : event->target.len});
    put_optional(json, "operation", event->operation);
    if (event->status)
        json_u64(json, "status", (uint64_t)event->status);
    put_optional(json, "code", event->code);
    put_optional(json, "message", event->sentence);
    if (event->count)
        json_u64(json, "count", event->count);
    json_text(json, "prev", audit_hash_text(&audit->previous, hex));
    json_object_end(json);
}

/* One whole line, or nothing: then the chain stands where it stood. */
static int add_line(Audit *audit, const AuditEvent *event)
{
    size_t start = audit->waiting.len;
    JsonWriter json = JSON_WRITER(&audit->waiting);
    put_event(&json, audit, event);
    int r = json_finish(&json);
    size_t len = audit->waiting.len - start;
    if (r == 0 && len > AUDIT_MAX_RECORD)
        r = -EMSGSIZE;
    r = r ? r : buf_append(&audit->waiting, "\n", 1);
    if (r) {
        buf_truncate(&audit->waiting, start);
        return r;
    }
    audit_hash(audit->waiting.data + start, len, &audit->previous);
    audit->number++;
    return 0;
}

static int add_lost(Audit *audit)
{
    if (audit->lost == 0)
        return 0;
    int r = add_line(audit, &(AuditEvent){.event = "audit.lost", .count = audit->lost});
    if (r == 0)
        audit->lost = 0;
    return r;
}

void audit_add(Audit *audit, const AuditEvent *event)
{
    int r = audit->lost && audit->waiting.len > MAX_WAITING / 2 ? -ENOBUFS : add_lost(audit);
    r = r ? r : add_line(audit, event);
    if (r == -EMSGSIZE) /* what it was stays in the record, though not all that it said */
        r = add_line(audit, &(AuditEvent){.event = event->event, .run = event->run, .code = event->code});
    if (r)
        audit->lost++;
}

int audit_flush(Audit *audit)
{
    while (audit->waiting.len || audit->lost) {
        int r = audit->waiting.len ? 0 : add_lost(audit);
        if (r)
            return r;
        ssize_t n = write(audit->fd, audit->waiting.data, audit->waiting.len);
        if (n == 0 || (n < 0 && errno != EINTR))
            return n ? -errno : -EIO;
        if (n > 0) /* what is written is gone from here, so that a full disk cannot make a line come twice */
            buf_consume(&audit->waiting, (size_t)n);
    }
    return 0;
}

Audit *audit_free(Audit *audit)
{
    if (!audit)
        return NULL;
    fd_close(&audit->fd);
    buf_done(&audit->waiting);
    mem_free(audit);
    return NULL;
}
