/* What the commands of a pod share. See pod.h. */
#include "purser/pod.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define READY           "ready"
#define TERMINATION_LOG "/dev/termination-log"

int pod_take_stdout(void)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        fd_close(&fd);
    return fd;
}

bool pod_check_sink(const Session *session)
{
    const Sink *sink = &session->config->sink;
    size_t len = strlen(session->state.path);
    if (sink->kind != SINK_SQLITE || strncmp(sink->path, session->state.path, len) != 0 ||
        sink->path[len] != '/')
        return true;
    log_error(
        "The sink %s would end with the pod; say `sink: {postgres: ...}`, or an SQLite file on a volume "
        "that stays.",
        sink->path);
    return false;
}

static int make_address(const char *state_path, struct sockaddr_un *address, Fault *fault)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s/" READY, state_path) >=
        sizeof(address->sun_path))
        return fault_set(fault, -ENAMETOOLONG, "The state folder %s has too long a name for a socket in it.",
                         state_path);
    return 0;
}

int pod_ready_listen(const State *state, int *ret_fd, Fault *fault)
{
    struct sockaddr_un address;
    int r = make_address(state->path, &address, fault);
    if (r)
        return r;
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(address.sun_path); /* of an agent that was killed: the state folder is ours */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
        return fault_set(fault, -errno, "Cannot make the socket %s: %s.", address.sun_path, strerror(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

void pod_ready_answer(evutil_socket_t listener, short what, void *context)
{
    (void)what, (void)context;
    CLEANUP_FD int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

int pod_ready_ask(const char *state_path, Fault *fault)
{
    struct sockaddr_un address;
    int r = make_address(state_path, &address, fault);
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!r && (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0))
        r = fault_set(fault, -errno, "No agent is ready at %s: %s.", state_path, strerror(errno));
    return r;
}

void pod_tell_end(void)
{
    const char *path = getenv("PURSER_TERMINATION_LOG");
    log_first_error_to(
        open(path && *path ? path : TERMINATION_LOG, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY));
}
