/* The audit's writing. See audit.h. No printf and, once the room has grown, no allocation: a request pays for
 * it. */
#include "audit/audit.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct Audit {
    int fd, next_fd; /* next_fd: the file to go on in, once nothing waits for this one; -1: none */
    const unsigned char *key;
    uint64_t number; /* of the next record */
    uint64_t lost;   /* events that had no room while nothing could be written; said as soon as there is */
    AuditMac last;
    int64_t last_time; /* of the last record, wall us */
    char last_text[CLOCK_TEXT];
    char before[256];        /* name of the file before next_fd */
    char chain[AUDIT_CHAIN]; /* a pod's; "": none */
    Buf waiting;             /* lines of this turn */
};

#define MAX_WAITING (4u << 20)
#define MAX_PATH    2048

static void put_optional(JsonWriter *json, const char *key, const char *value)
{
    if (value)
        json_text(json, key, value);
}

/* Milliseconds with one digit behind the point: "12.3". */
static void put_ms(JsonWriter *json, uint64_t us)
{
    char text[24];
    uint64_t tenths = (us + 50) / 100;
    char *at = text_u64(text, tenths / 10);
    size_t len = strlen(at);
    memmove(text, at, len);
    text[len] = '.';
    text[len + 1] = (char)('0' + tenths % 10);
    json_number(json, "ms", (Slice){text, len + 2});
}

static void put_measured(JsonWriter *json, const AuditEvent *event)
{
    if (event->sent)
        json_u64(json, "sent", event->sent);
    json_u64(json, "received", event->received);
    json_bool(json, "whole", event->whole);
    put_ms(json, event->us);
}

/* "NAME:LINE" of the rule that decided. */
static void put_rule(JsonWriter *json, const char *policy, unsigned line)
{
    char text[96], digits[24];
    size_t len = strlen(policy);
    len = len < 64 ? len : 64;
    memcpy(text, policy, len);
    text[len++] = ':';
    const char *number = text_u64(digits, line);
    memcpy(text + len, number, strlen(number));
    json_slice(json, "rule", (Slice){text, len + strlen(number)});
}

static void put_event(JsonWriter *json, const AuditEvent *event)
{
    static const char *const decisions[] = {NULL, "allowed", "refused", "failed", "would-refuse"};
    json_text(json, "event", event->event);
    put_optional(json, "run", event->run);
    put_optional(json, "retriever", event->retriever);
    put_optional(json, "source", event->source);
    put_optional(json, "method", event->method);
    put_optional(json, "host", event->host);
    if (event->target.len)
        json_slice(json, "path",
                   (Slice){event->target.ptr, event->target.len > MAX_PATH ? MAX_PATH : event->target.len});
    put_optional(json, "operation", event->operation);
    if (event->rule && event->policy)
        put_rule(json, event->policy, event->rule);
    put_optional(json, "decision", decisions[event->decision]);
    if (event->status)
        json_u64(json, "status", (uint64_t)event->status);
    if (event->measured)
        put_measured(json, event);
    put_optional(json, "code", event->code);
    put_optional(json, "message", event->sentence);
    if (event->count)
        json_u64(json, "count", event->count);
    if (event->of)
        json_u64(json, "of", event->of);
}

typedef void Fill(JsonWriter *json, const Audit *audit, const void *what);

static void fill_event(JsonWriter *json, const Audit *audit, const void *what)
{
    (void)audit;
    put_event(json, what);
}

/* A pod's first record. */
static void fill_begin_pod(JsonWriter *json, const Audit *audit, const void *what)
{
    const AuditPod *pod = what;
    (void)audit;
    json_text(json, "event", "audit.begin");
    json_text(json, "installation", pod->installation);
    json_text(json, "pod", pod->pod);
}

/* A file's first record; `what`: the name of the file before it, "" for the first of all. */
static void fill_begin(JsonWriter *json, const Audit *audit, const void *what)
{
    char mac[AUDIT_HEX], installation[AUDIT_INSTALLATION];
    const char *before = what;
    json_text(json, "event", "audit.begin");
    json_text(json, "installation", audit_installation(audit->key, installation));
    if (!*before)
        return;
    json_text(json, "before", before);
    json_text(json, "beforeTime", audit->last_text);
    json_text(json, "prev", audit_mac_text(&audit->last, mac));
}

/* The record is finished by its mac, which is of all before it. */
static int close_record(Audit *audit, JsonWriter *json, size_t start)
{
    char hex[AUDIT_HEX];
    AuditMac mac;
    if (json->error)
        return json->error;
    audit_mac(audit->key, &audit->last, (Slice){audit->waiting.data + start, audit->waiting.len - start},
              &mac);
    json_text(json, "mac", audit_mac_text(&mac, hex));
    json_object_end(json);
    int r = json_finish(json);
    if (r == 0 && audit->waiting.len - start > AUDIT_MAX_RECORD)
        r = -EMSGSIZE;
    r = r ? r : buf_append(&audit->waiting, "\n", 1);
    if (r == 0)
        audit->last = mac;
    return r;
}

/* One whole line, or nothing: then the chain stands where it stood. */
static int add_line(Audit *audit, Fill *fill, const void *what)
{
    size_t start = audit->waiting.len;
    JsonWriter json = JSON_WRITER(&audit->waiting);
    int64_t now = clock_wall();
    json_object_begin(&json, NULL);
    json_u64(&json, "n", audit->number);
    json_time(&json, "time", now);
    if (audit->chain[0])
        json_text(&json, "chain", audit->chain);
    fill(&json, audit, what);
    int r = close_record(audit, &json, start);
    if (r) {
        buf_truncate(&audit->waiting, start);
        return r;
    }
    audit->number++;
    audit->last_time = now;
    return 0;
}

static int add_event(Audit *audit, const AuditEvent *event)
{
    return add_line(audit, fill_event, event);
}

static int begin_file(Audit *audit, const char *before)
{
    return add_line(audit, fill_begin, before);
}

static bool same_file(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* What a crash left of a line is ended and stays; the next record says so. */
static int resume(Audit *audit, const AuditEnd *end)
{
    if (end->cut == 0)
        return 0;
    int r = end->unfinished ? buf_append(&audit->waiting, "\n", 1) : 0;
    return r ? r : add_event(audit, &(AuditEvent){.event = "audit.resume", .count = end->cut});
}

int audit_open(int fd, int tail_fd, const char *before, const unsigned char *key, Audit **ret_audit,
               Fault *fault)
{
    AuditEnd end = {.number = 0};
    int r = tail_fd < 0 ? 0 : audit_end_read(tail_fd, key, &end);
    if (r) {
        fd_close(&fd);
        return fault_set(fault, r, "The audit cannot be continued: %s.",
                         r == -EBADMSG ? "what its file ends in is no record of purser's; `purser audit "
                                         "verify` says more, and a new one begins once it is moved away"
                                       : strerror(-r));
    }
    Audit *audit = MEM_NEW(Audit);
    *audit = (Audit){.fd = fd,
                     .next_fd = -1,
                     .key = key,
                     .number = end.number + 1,
                     .last = end.last,
                     .waiting = BUF_INIT(MAX_WAITING)};
    memcpy(audit->last_text, end.time, sizeof(end.time));
    bool goes_on = tail_fd >= 0 && same_file(fd, tail_fd) && end.number;
    r = goes_on ? resume(audit, &end) : begin_file(audit, end.number ? before : "");
    if (r) {
        audit_free(audit);
        return fault_set(fault, r, "The audit cannot be continued: %s.", strerror(-r));
    }
    *ret_audit = audit;
    return 0;
}

int audit_open_pod(int fd, const AuditPod *pod, const unsigned char *key, Audit **ret_audit, Fault *fault)
{
    Audit *audit = MEM_NEW(Audit);
    *audit = (Audit){.fd = fd, .next_fd = -1, .key = key, .number = 1, .waiting = BUF_INIT(MAX_WAITING)};
    snprintf(audit->chain, sizeof(audit->chain), "%s", pod->chain);
    int r = add_line(audit, fill_begin_pod, pod);
    if (r) {
        audit_free(audit);
        return fault_set(fault, r, "The audit cannot be begun: %s.", strerror(-r));
    }
    *ret_audit = audit;
    return 0;
}

static int add_lost(Audit *audit)
{
    if (audit->lost == 0)
        return 0;
    int r = add_event(audit, &(AuditEvent){.event = "audit.lost", .count = audit->lost});
    if (r == 0)
        audit->lost = 0;
    return r;
}

uint64_t audit_add(Audit *audit, const AuditEvent *event)
{
    int r = audit->lost && audit->waiting.len > MAX_WAITING / 2 ? -ENOBUFS : add_lost(audit);
    r = r ? r : add_event(audit, event);
    if (r == -EMSGSIZE) /* what it was stays in the record, though not all that it said */
        r = add_event(audit, &(AuditEvent){.event = event->event,
                                           .run = event->run,
                                           .decision = event->decision,
                                           .code = event->code});
    if (r)
        audit->lost++;
    return r ? 0 : audit->number - 1;
}

static int write_waiting(Audit *audit)
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

int audit_flush(Audit *audit)
{
    int r = write_waiting(audit);
    if (r || audit->next_fd < 0)
        return r;
    fd_close(&audit->fd);
    audit->fd = fd_steal(&audit->next_fd);
    clock_format(audit->last_text, audit->last_time);
    r = begin_file(audit, audit->before);
    return r ? r : write_waiting(audit);
}

int audit_record(Audit *audit, const AuditEvent *event)
{
    uint64_t number = audit_add(audit, event);
    int r = audit_flush(audit);
    return r ? r : number ? 0 : -ENOBUFS;
}

int audit_seal(Audit *audit, const char *run, const char *retriever, AuditSeal *ret_seal)
{
    AuditEvent event = {.event = "seal", .run = run, .retriever = retriever};
    uint64_t number = audit_add(audit, &event);
    AuditSeal seal = {.number = number, .mac = audit->last, .time = audit->last_time};
    int r = audit_flush(audit);
    if (r || number == 0)
        return r ? r : -ENOBUFS;
    *ret_seal = seal;
    return 0;
}

void audit_turn(Audit *audit, int fd, const char *before)
{
    fd_close(&audit->next_fd);
    audit->next_fd = fd;
    snprintf(audit->before, sizeof(audit->before), "%s", before);
}

Audit *audit_free(Audit *audit)
{
    if (!audit)
        return NULL;
    fd_close(&audit->fd);
    fd_close(&audit->next_fd);
    buf_done(&audit->waiting);
    mem_free(audit);
    return NULL;
}
