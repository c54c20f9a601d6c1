/* A record's fields. See line.h. */
#include "audit/line.h"

#include "base/buf.h"
#include "base/text.h"

#include <errno.h>
#include <time.h>

#define READ_ROOM (256u << 10)

typedef enum Kind { KIND_TEXT, KIND_NUMBER, KIND_DIGITS, KIND_BOOL } Kind;

static const struct {
    const char *key;
    size_t offset;
    Kind kind;
} fields[] = {
#define TEXT(name)                                                                                           \
    {                                                                                                        \
#name, offsetof(AuditLine, name), KIND_TEXT                                                          \
    }
#define NUMBER(name)                                                                                         \
    {                                                                                                        \
#name, offsetof(AuditLine, name), KIND_NUMBER                                                        \
    }
    NUMBER(n),
    TEXT(time),
    TEXT(event),
    TEXT(run),
    TEXT(retriever),
    TEXT(source),
    TEXT(method),
    TEXT(host),
    TEXT(path),
    TEXT(operation),
    TEXT(rule),
    TEXT(decision),
    NUMBER(status),
    NUMBER(sent),
    NUMBER(received),
    TEXT(code),
    TEXT(message),
    NUMBER(count),
    NUMBER(of),
    TEXT(installation),
    TEXT(before),
    TEXT(prev),
    TEXT(pod),
    TEXT(chain),
    {"beforeTime", offsetof(AuditLine, before_time), KIND_TEXT},
    {"ms", offsetof(AuditLine, ms), KIND_DIGITS},
    {"whole", offsetof(AuditLine, whole), KIND_BOOL},
};

static bool take(Slice *rest, const char *text)
{
    if (!slice_starts(*rest, text))
        return false;
    size_t n = strlen(text);
    *rest = (Slice){rest->ptr + n, rest->len - n};
    return true;
}

/* Behind the opening quote, to the closing one. */
static bool take_text(Slice *rest, Slice *ret_text)
{
    for (size_t i = 0; i < rest->len; i++) {
        unsigned char c = (unsigned char)rest->ptr[i];
        if (c < 0x20)
            return false;
        if (c == '"') {
            *ret_text = (Slice){rest->ptr, i};
            *rest = (Slice){rest->ptr + i + 1, rest->len - i - 1};
            return true;
        }
        i += c == '\\'; /* what it escapes is no end */
    }
    return false;
}

static bool take_digits(Slice *rest, Slice *ret_digits)
{
    size_t n = 0;
    while (n < rest->len && ((rest->ptr[n] >= '0' && rest->ptr[n] <= '9') || rest->ptr[n] == '.'))
        n++;
    *ret_digits = (Slice){rest->ptr, n};
    *rest = (Slice){rest->ptr + n, rest->len - n};
    return n > 0;
}

typedef struct Value {
    Slice text;
    Kind kind;
    bool truth;
} Value;

static bool take_value(Slice *rest, Value *value)
{
    if (take(rest, "\"")) {
        value->kind = KIND_TEXT;
        return take_text(rest, &value->text);
    }
    value->kind = KIND_BOOL;
    value->truth = take(rest, "true");
    if (value->truth || take(rest, "false"))
        return true;
    value->kind = KIND_NUMBER;
    return take_digits(rest, &value->text);
}

static bool put(AuditLine *line, Slice key, const Value *value)
{
    size_t i = 0;
    while (i < COUNT_OF(fields) && !slice_is(key, fields[i].key))
        i++;
    if (i == COUNT_OF(fields))
        return true;
    void *at = (char *)line + fields[i].offset;
    Kind want = fields[i].kind == KIND_DIGITS ? KIND_NUMBER : fields[i].kind;
    if (value->kind != want)
        return false;
    if (fields[i].kind == KIND_NUMBER)
        return text_parse_u64(value->text, UINT64_MAX, at) == 0;
    if (fields[i].kind == KIND_BOOL)
        *(bool *)at = value->truth;
    else
        *(Slice *)at = value->text;
    return true;
}

int audit_line_parse(Slice text, AuditLine *ret_line)
{
    AuditLine line = {0};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (fields[i].kind == KIND_TEXT || fields[i].kind == KIND_DIGITS)
            *(Slice *)((char *)&line + fields[i].offset) = (Slice){"", 0};
    Slice rest = text;
    if (!take(&rest, "{"))
        return -EBADMSG;
    do {
        Slice key;
        Value value = {{"", 0}, KIND_TEXT, false};
        if (!take(&rest, "\"") || !take_text(&rest, &key) || !take(&rest, ":") ||
            !take_value(&rest, &value) || !put(&line, key, &value))
            return -EBADMSG;
    } while (take(&rest, ","));
    if (!slice_is(rest, "}"))
        return -EBADMSG;
    *ret_line = line;
    return 0;
}

static bool may_grow(unsigned *tries)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    return (*tries)++ < 10 && nanosleep(&pause, NULL) == 0;
}

/* False: no more is wanted. */
static bool give_lines(Buf *text, AuditEachLine *each, void *context)
{
    Slice line, rest = buf_slice(text);
    bool more = true;
    while (more && slice_cut(rest, '\n', &line, &rest))
        more = each(context, line);
    if (more && line.len == text->max) {
        more = each(context, line);
        line.len = 0;
    }
    buf_consume(text, text->len - line.len);
    return more;
}

int audit_lines_each(int fd, AuditEachLine *each, AuditEachLine *rest, void *context)
{
    CLEANUP_BUF Buf text = BUF_INIT(READ_ROOM);
    unsigned tries = 0;
    for (off_t at = 0;;) {
        char *room;
        size_t want = text.max - text.len;
        int r = buf_reserve(&text, want, &room);
        if (r)
            return r;
        ssize_t n = pread(fd, room, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0 && (text.len == 0 || !may_grow(&tries)))
            break;
        buf_commit(&text, (size_t)n);
        at += n;
        if (!give_lines(&text, each, context))
            return 0;
    }
    if (text.len && rest)
        rest(context, buf_slice(&text));
    return 0;
}

const char *audit_line_text(Slice text, char *out, size_t size)
{
    char plain[4096];
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < sizeof(plain); i++) {
        if (text.ptr[i] == '\\' && i + 1 < text.len && (text.ptr[i + 1] == '"' || text.ptr[i + 1] == '\\'))
            i++;
        plain[n++] = text.ptr[i];
    }
    text_escape(out, size, plain, n);
    return out;
}
