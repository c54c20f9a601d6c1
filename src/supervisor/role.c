/* Starting roles and talking to them at set-up. See role.h. */
#include "supervisor/role.h"

#include "base/clock.h"
#include "base/io.h"
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *role_name(IpcRole which)
{
    switch (which) {
    case IPC_GATE:
        return "purser-gate";
    case IPC_KEEPER:
        return "purser-keeper";
    case IPC_CLERK:
        return "purser-clerk";
    default:
        return "purser-exec";
    }
}

#define EXE_FD (IPC_CONTROL_FD + 1)

static NORETURN void become_role(int exe, const char *name, int control, const UserId *user)
{
    /* GnuTLS comes with libcurl's RTMP, which nothing here uses: set up it takes 1 MB. */
    static const char *const environment[] = {"LANG=C.UTF-8", "PATH=/usr/bin:/bin", "TZ=UTC",
                                              "GNUTLS_NO_IMPLICIT_INIT=1", NULL};
    char *const argv[] = {(char *)name, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Both move above everything first, so that neither is overwritten by the other's place. */
    control = fcntl(control, F_DUPFD_CLOEXEC, 64);
    exe = fcntl(exe, F_DUPFD_CLOEXEC, 64);
    if (null < 0 || control < 0 || exe < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(control, IPC_CONTROL_FD) < 0 || dup3(exe, EXE_FD, O_CLOEXEC) < 0)
        _exit(126);
    /* Those, too, that purser was started with. */
    if (syscall(SYS_close_range, EXE_FD + 1, ~0U, 0) < 0)
        _exit(126);
    setsid(); /* a terminal's Ctrl-C goes to the supervisor alone, which ends things in order */
    if (user_become(user))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execveat(EXE_FD, "", argv, (char *const *)environment, AT_EMPTY_PATH);
    _exit(127);
}

int role_start(const char *libexec, IpcRole which, UserId user, Role *ret_role, Fault *fault)
{
    return role_start_program(libexec, which, role_name(which), user, ret_role, fault);
}

int role_start_program(const char *libexec, IpcRole which, const char *name, UserId user, Role *ret_role,
                       Fault *fault)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s/%s", libexec, name);
    CLEANUP_FD int exe = open(path, O_PATH | O_CLOEXEC);
    if (exe < 0)
        return fault_set(fault, -errno, "Cannot start %s: %s; purser is not installed whole.", path,
                         strerror(errno));
    int pair[2];
    /* This end is non-blocking; a role that has a loop of its own makes its end so itself. */
    int r = ipc_pair(false, pair);
    if (!r && (r = io_set_nonblocking(pair[0]))) {
        fd_close(&pair[0]);
        fd_close(&pair[1]);
    }
    if (r)
        return fault_set(fault, r, "Cannot make a socket pair: %s.", strerror(-r));
    pid_t pid = process_fork();
    if (pid == 0)
        become_role(exe, name, pair[1], &user);
    r = pid < 0 ? -errno : 0;
    fd_close(&pair[1]);
    if (r) {
        fd_close(&pair[0]);
        return fault_set(fault, r, "Cannot start %s: %s.", name, strerror(-r));
    }
    *ret_role = (Role){name, pid, {pair[0], IPC_SUPERVISOR, which, IPC_SETUP}};
    return 0;
}

static int told = -1;

void role_mind(int told_fd)
{
    told = told_fd;
}

/* 0 when the descriptor has become ready. */
static int wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd one[] = {{.fd = fd, .events = events}, {.fd = told, .events = POLLIN}};
    int64_t until = clock_mono() + (int64_t)timeout_ms * 1000;
    for (;;) {
        int64_t left = (until - clock_mono()) / 1000;
        int n = poll(one, COUNT_OF(one), left < 0 ? 0 : (int)left);
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : one[0].revents ? 0 : -ECANCELED;
    }
}

int role_pause(int ms)
{
    int r = wait_for(-1, 0, ms);
    return r == -ETIMEDOUT ? 0 : r;
}

int role_send(Role *role, uint16_t type, Slice payload, const int *fd, size_t n_fd, Fault *fault)
{
    int r;
    while ((r = ipc_send(&role->peer, type, payload, fd, n_fd)) == -EAGAIN)
        if ((r = wait_for(role->peer.fd, POLLOUT, 10000)))
            break;
    if (r)
        return fault_set(fault, r, "Cannot tell %s (record %u): %s.", role->name, type, strerror(-r));
    return 0;
}

int role_send_wire(Role *role, uint16_t type, const WireWriter *wire, const int *fd, size_t n_fd,
                   Fault *fault)
{
    if (wire->failed)
        return fault_set(
            fault, -EMSGSIZE,
            "A part of the configuration (record %u for %s) is longer than 64 kB; shorten its lists.", type,
            role->name);
    return role_send(role, type, (Slice){(const char *)wire->data, wire->len}, fd, n_fd, fault);
}

int role_receive(Role *role, int timeout_ms, void *room, IpcRecord *ret_record, Fault *fault)
{
    int r;
    while ((r = ipc_recv(&role->peer, room, ret_record)) == -EAGAIN)
        if ((r = wait_for(role->peer.fd, POLLIN, timeout_ms)))
            break;
    if (r == -ETIMEDOUT)
        return fault_set(fault, r, "%s did not answer within %d s.", role->name, timeout_ms / 1000);
    if (r == -ECANCELED)
        return fault_set(fault, r, "Told to end while %s was still at work.", role->name);
    if (r == -ECONNRESET)
        return fault_set(fault, r, "%s ended unexpectedly; its own lines above say why.", role->name);
    if (r)
        return fault_set(fault, r, "%s: %s.", role->name, strerror(-r));
    if (ret_record->type == IPC_FAULT)
        return fault_set(fault, -EIO, "%.*s", (int)ret_record->payload.len, ret_record->payload.ptr);
    return 0;
}

int role_stop(Role *role, int grace_ms)
{
    int status = -1;
    fd_close(&role->peer.fd);
    if (role->pid <= 0)
        return -1;
    for (int waited = 0;; waited += 2) {
        pid_t pid = waitpid(role->pid, &status, WNOHANG);
        if (pid == role->pid || (pid < 0 && errno != EINTR))
            break;
        if (waited >= grace_ms)
            kill(role->pid, SIGKILL);
        usleep(2000);
    }
    role->pid = 0;
    return status;
}

const char *role_end_text(int wait_status, char out[static 96])
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, 96, "was killed by signal %d%s", WTERMSIG(wait_status),
                 WTERMSIG(wait_status) == SIGSYS ? " (a system call that its sandbox forbids)" : "");
    else
        snprintf(out, 96, "ended with status %d", WEXITSTATUS(wait_status));
    return out;
}
