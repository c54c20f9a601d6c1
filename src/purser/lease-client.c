/* A script's side of its run's socket. See lease-client.h. */
#include "purser/lease-client.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/head.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define VARIABLE   "PURSER_LEASE_"
#define PATIENCE_S 70
#define MAX_ANSWER (256u << 10)
#define ID_LEN                                                                                               \
    26 /* the prefix, and the whole base64 digits of the id: the same in all that is narrowed from it */

static int take(const char *text, const char *where, char ret_text[LEASE_MAX_TEXT], Fault *fault)
{
    size_t len = text ? strcspn(text, "\r\n") : 0;
    if (!text || !lease_is_lease((Slice){text, len}) || len >= LEASE_MAX_TEXT ||
        text[len + strspn(text + len, "\r\n")])
        return fault_set(fault, -EINVAL, "%s holds no lease.", where);
    memcpy(ret_text, text, len);
    ret_text[len] = '\0';
    return 0;
}

static int take_stdin(char ret_text[LEASE_MAX_TEXT], Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(LEASE_MAX_TEXT + 2);
    int r = io_read_all(STDIN_FILENO, &text);
    if (r && r != -EFBIG)
        return fault_set(fault, r, "Standard input cannot be read: %s.", strerror(-r));
    return take(r ? NULL : buf_text(&text), "Standard input", ret_text, fault);
}

/* The one PURSER_LEASE_... that there is. */
static int take_only(char ret_text[LEASE_MAX_TEXT], Fault *fault)
{
    const char *found = NULL;
    size_t n = 0, prefix = strlen(VARIABLE);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, VARIABLE, prefix) == 0) {
            found = strchr(*entry, '=');
            n++;
        }
    if (n == 0)
        return fault_set(fault, -ENOENT,
                         "There is no lease in the environment (" VARIABLE
                         "...): this is for a script in its run.");
    if (n > 1)
        return fault_set(
            fault, -EINVAL,
            "This run has leases of %zu sources: say which with --source NAME, or --env VARIABLE.", n);
    return take(found ? found + 1 : NULL, "The variable " VARIABLE "...", ret_text, fault);
}

int lease_find(const LeaseFrom *from, char ret_text[LEASE_MAX_TEXT], Fault *fault)
{
    char name[128], where[160];
    if (from->from_stdin)
        return take_stdin(ret_text, fault);
    if (!from->env && !from->source)
        return take_only(ret_text, fault);
    if (from->env) {
        snprintf(name, sizeof(name), "%s", from->env);
    } else {
        char variable[80];
        text_variable(variable, sizeof(variable), from->source, "");
        snprintf(name, sizeof(name), VARIABLE "%s", variable);
    }
    snprintf(where, sizeof(where), "The variable %s", name);
    return take(getenv(name), where, ret_text, fault);
}

static int connect_gate(int *ret_fd, Fault *fault)
{
    const char *path = getenv("PURSER_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    if (!path || strlen(path) >= sizeof(address.sun_path))
        return fault_set(fault, -ENOENT,
                         "PURSER_SOCKET does not name the run's socket: this is for a script in its run.");
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return fault_set(fault, -errno, "Cannot reach the run's socket %s: %s.", path, strerror(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* purser's own answers have a length, and the connection is closed after them. */
static int read_answer(int fd, int *ret_status, Buf *ret_body, Fault *fault)
{
    static HttpHead head;
    CLEANUP_BUF Buf all = BUF_INIT(MAX_ANSWER);
    size_t used = 0;
    int r = io_read_all(fd, &all);
    if (r)
        return fault_set(fault, r, "The run's socket did not answer: %s.", strerror(-r));
    r = http_parse_response(buf_slice(&all), HTTP_GET, &head, &used);
    if (r || head.framing != HTTP_LENGTH || all.len - used != head.content_length)
        return fault_set(fault, -EPROTO, "What answers on the run's socket is not this purser's gate.");
    *ret_status = head.status;
    return buf_append(ret_body, all.data + used, all.len - used);
}

int lease_call(const char *method, const char *path, const char *lease, int *ret_status, Buf *ret_body,
               Fault *fault)
{
    CLEANUP_FD int fd = -1;
    CLEANUP_BUF Buf request = BUF_INIT(4096);
    int r = buf_printf(
        &request, "%s %s HTTP/1.1\r\nHost: purser\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n",
        method, path, lease);
    r = r ? r : connect_gate(&fd, fault);
    if (r)
        return r;
    r = io_write_all(fd, request.data, request.len);
    if (r)
        return fault_set(fault, r, "The run's socket does not listen: %s.", strerror(-r));
    return read_answer(fd, ret_status, ret_body, fault);
}

static bool is_lease_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* The value with every lease of that id replaced; false: it has none. */
static bool replace(const char *value, const char *narrowed, Buf *out)
{
    bool any = false;
    int r = 0;
    while (*value && !r) {
        const char *hit = strstr(value, LEASE_PREFIX);
        size_t before = hit ? (size_t)(hit - value) : strlen(value), len = 0;
        r = buf_append(out, value, before);
        value += before;
        if (!hit || r)
            break;
        while (is_lease_char(value[len]))
            len++;
        bool same = len >= ID_LEN && strncmp(value, narrowed, ID_LEN) == 0; /* the id is no secret */
        any |= same;
        r = same ? buf_append_text(out, narrowed) : buf_append(out, value, len);
        value += len;
    }
    return any && !r;
}

size_t lease_replace_everywhere(const char *narrowed)
{
    size_t n = 0;
    for (char **entry = environ; *entry; entry++) {
        CLEANUP_BUF Buf value = BUF_INIT(1u << 20);
        const char *equals = strchr(*entry, '=');
        if (!equals || !replace(equals + 1, narrowed, &value))
            continue;
        CLEANUP_MEM char *name = mem_dup(*entry, (size_t)(equals - *entry));
        n += setenv(name, buf_text(&value), 1) == 0;
    }
    return n;
}
