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
    AuditHash previous;
    Buf waiting; /* lines of this turn */
};

#define MAX_WAITING (4u << 20)

int audit_open(int fd, Audit **ret_audit, Fault *fault)
{
    AuditChain chain = AUDIT_CHAIN_START;
    int r = audit_chain_read_end(fd, &chain);
    if (r)
        return fault_set(fault, r, "The audit cannot be continued: %s.", strerror(-r));
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
    if (event->status)
        json_u64(json, "status", (uint64_t)event->status);
    put_optional(json, "code", event->code);
    put_optional(json, "message", event->sentence);
    if (event->count)
        json_u64(json, "count", event->count);
    json_text(json, "prev", audit_hash_text(&audit->previous, hex));
    json_object_end(json);
}

void audit_add(Audit *audit, const AuditEvent *event)
{
    size_t start = audit->waiting.len;
    JsonWriter json = JSON_WRITER(&audit->waiting);
    put_event(&json, audit, event);
    if (json_finish(&json) || audit->waiting.len - start > 4 * AUDIT_MAX_LINE) {
        buf_truncate(&audit->waiting, start);
        return;
    }
    audit_hash(audit->waiting.data + start, audit->waiting.len - start, &audit->previous);
    audit->number++;
    if (buf_append(&audit->waiting, "\n", 1))
        buf_truncate(&audit->waiting, start);
}

int audit_flush(Audit *audit)
{
    while (audit->waiting.len) {
        ssize_t n = write(audit->fd, audit->waiting.data, audit->waiting.len);
        if (n < 0 && errno != EINTR)
            return -errno;
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
