/* The run's runner. See runner.h. */
#include "gate/runner.h"

#include "base/log.h"
#include "base/mem.h"
#include "gate/gate.h"
#include "gate/keeper-link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SEND_WAIT_MS 10000
#define MAX_REFUSED  10000 /* further ones are not worth a record each */

/* To the runner, which does nothing else than to read meanwhile. */
static int send_runner(Gate *gate, uint16_t type, Slice payload, int fd)
{
    IpcPeer *peer = &gate->runner.peer;
    int r;
    while ((r = ipc_send(peer, type, payload, &fd, fd >= 0 ? 1 : 0)) == -EAGAIN) {
        struct pollfd room = {.fd = peer->fd, .events = POLLOUT};
        if (poll(&room, 1, SEND_WAIT_MS) != 1)
            return -ETIMEDOUT;
    }
    return r;
}

static void report(Gate *gate, const RunEnd *end)
{
    unsigned char room[64];
    WireWriter wire = WIRE_WRITER(room);
    if (gate->runner.finished)
        return;
    gate->runner.finished = true;
    run_end_put(end, &wire);
    if (ipc_send_wire(&gate->supervisor, IPC_GATE_FINISHED, &wire, NULL, 0))
        gate_end(gate, NULL);
}

static void hang_up(Gate *gate)
{
    Runner *runner = &gate->runner;
    if (runner->peer.fd < 0)
        return;
    event_free(STEAL(runner->event));
    fd_close(&runner->peer.fd);
    if (runner->greeted) {
        const RunEnd lost = {.exit_status = -1, .outputs = runner->outputs};
        report(gate, &lost);
    }
}

void runner_take_lease(Gate *gate, size_t source, Slice text)
{
    mem_free(gate->runner.lease[source]);
    gate->runner.lease[source] = mem_dup(text.ptr, text.len);
}

static int give_env(Gate *gate, const char *name, Slice value)
{
    static unsigned char room[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(room);
    const RunEnv env = {.name = slice_of(name), .value = value, .source = -1};
    run_env_put(&env, &wire);
    int r = wire.failed ? -EMSGSIZE : send_runner(gate, IPC_ENV, (Slice){(const char *)room, wire.len}, -1);
    explicit_bzero(room, wire.len);
    return r;
}

static int tell(Gate *gate)
{
    unsigned char room[64];
    WireWriter wire = WIRE_WRITER(room);
    const GateSetup *setup = &gate->setup;
    const RunLimits limits = {.time_limit = setup->time_limit,
                              .grace = setup->grace,
                              .output_bytes = setup->output_bytes,
                              .output_files = setup->output_files,
                              .port = setup->port,
                              .walls_optional = setup->sandbox_optional};
    run_limits_put(&limits, &wire);
    int r = run_env_each(gate, give_env);
    if (!r)
        r = send_runner(gate, IPC_CA, buf_slice(&gate->ca_pem), -1);
    if (!r)
        r = send_runner(gate, IPC_ROOTS, (Slice){"", 0}, gate->fd[GATE_FD_ROOTS]);
    if (!r)
        r = send_runner(gate, IPC_RUN_START, (Slice){(const char *)room, wire.len}, -1);
    return r;
}

void runner_leases_end(Gate *gate)
{
    Runner *runner = &gate->runner;
    if (runner->peer.fd < 0 || runner->peer.stage != IPC_SETUP)
        return;
    int r = tell(gate);
    for (size_t i = 0; i < gate->n_source; i++)
        if (runner->lease[i]) {
            explicit_bzero(runner->lease[i], strlen(runner->lease[i]));
            mem_free(STEAL(runner->lease[i]));
        }
    if (r)
        hang_up(gate);
    else
        runner->peer.stage = IPC_OPEN;
}

/* Refused outputs reach the clerk as such, with the reason, whoever refused them. */
static void refuse_output(Gate *gate, Slice path, const char *reason)
{
    unsigned char room[RESULTS_PAYLOAD];
    WireWriter wire = WIRE_WRITER(room);
    const RunOutputRefused refused = {.path = path, .reason = slice_of(reason)};
    if (gate->runner.refused++ >= MAX_REFUSED)
        return;
    run_output_refused_put(&refused, &wire);
    results_send(gate, IPC_OUTPUT_REFUSED, (Slice){(const char *)room, wire.len}, -1);
}

/* The call itself: the C library's asks by a name, if an empty one, and the gate has no call that takes
 * names.
 */
static int stat_of(int fd, struct stat *ret_status)
{
    return (int)syscall(SYS_fstat, fd, ret_status);
}

/* NULL: a plain file, open for reading only, within the run's limits. */
static const char *check_output(Gate *gate, int fd, uint64_t *ret_size)
{
    const GateSetup *setup = &gate->setup;
    Runner *runner = &gate->runner;
    struct stat info;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || stat_of(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return "it is not a plain file";
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_PATH))
        return "it was not opened for reading only";
    uint64_t size = (uint64_t)info.st_size;
    if (runner->outputs >= setup->output_files)
        return "the run left more files than outputFiles allows";
    if (size > setup->output_bytes || runner->bytes > setup->output_bytes - size)
        return "the run left more bytes than outputBytes allows";
    *ret_size = size;
    return NULL;
}

static int take_output(Gate *gate, IpcRecord *record)
{
    unsigned char room[RESULTS_PAYLOAD];
    WireWriter wire = WIRE_WRITER(room);
    WireReader reader = WIRE_READER(record->payload.ptr, record->payload.len);
    RunOutput output;
    int r = run_output_get(&reader, &output);
    if (r)
        return r;
    const char *reason = check_output(gate, record->fd[0], &output.size);
    if (reason) {
        refuse_output(gate, output.path, reason);
        return 0;
    }
    gate->runner.outputs++;
    gate->runner.bytes += output.size;
    run_output_put(&output, &wire);
    results_send(gate, IPC_OUTPUT, (Slice){(const char *)room, wire.len}, ipc_record_take(record, 0));
    return 0;
}

static int take_refused(Gate *gate, const IpcRecord *record)
{
    WireReader reader = WIRE_READER(record->payload.ptr, record->payload.len);
    RunOutputRefused refused;
    int r = run_output_refused_get(&reader, &refused);
    if (r)
        return r;
    char reason[1025];
    snprintf(reason, sizeof(reason), "%.*s", (int)refused.reason.len, refused.reason.ptr);
    refuse_output(gate, refused.path, reason);
    return 0;
}

static int take_end(Gate *gate, const IpcRecord *record)
{
    unsigned char room[64];
    WireWriter wire = WIRE_WRITER(room);
    WireReader reader = WIRE_READER(record->payload.ptr, record->payload.len);
    RunEnd end;
    int r = run_end_get(&reader, &end);
    if (r)
        return r;
    Runner *runner = &gate->runner;
    if (end.outputs > runner->outputs + runner->refused)
        log_warning("the runner of %s announced %u outputs and handed over %u", gate->setup.retriever,
                    end.outputs, runner->outputs);
    end.outputs = runner->outputs;
    run_end_put(&end, &wire);
    results_send(gate, IPC_RUN_END, (Slice){(const char *)room, wire.len}, -1);
    report(gate, &end);
    return 0;
}

static int take(Gate *gate, IpcRecord *record)
{
    Runner *runner = &gate->runner;
    switch (record->type) {
    case IPC_HELLO:
        if (runner->greeted)
            return -EPROTO;
        runner->greeted = true;
        return keeper_link_leases(gate);
    case IPC_OUTPUT:
        return take_output(gate, record);
    case IPC_OUTPUT_REFUSED:
        return take_refused(gate, record);
    case IPC_RUN_END:
        return take_end(gate, record);
    default:
        return -EPROTO;
    }
}

static void runner_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    Gate *gate = arg;
    Runner *runner = &gate->runner;
    while (runner->peer.fd >= 0) {
        if (results_full(gate)) {
            event_del(runner->event);
            return;
        }
        IpcRecord record;
        int r = ipc_recv(&runner->peer, gate->record, &record);
        if (r == -EAGAIN)
            return;
        if (!r) {
            r = take(gate, &record);
            ipc_record_close(&record);
        }
        if (r) {
            if (r != -ECONNRESET)
                log_warning("the runner of %s sent what no runner sends; its connection is closed",
                            gate->setup.retriever);
            hang_up(gate);
        }
    }
}

void runner_resume(Gate *gate)
{
    if (gate->runner.event && !results_full(gate))
        event_add(gate->runner.event, NULL);
}

void runner_loaded(Gate *gate, const RunLoaded *loaded)
{
    unsigned char room[2048];
    WireWriter wire = WIRE_WRITER(room);
    Runner *runner = &gate->runner;
    if (loaded->result == RUN_LOAD_AGAIN) {
        runner->outputs = runner->refused = 0;
        runner->bytes = 0;
    }
    if (runner->peer.fd < 0 || runner->peer.stage != IPC_OPEN)
        return;
    run_loaded_put(loaded, &wire);
    if (wire.failed || send_runner(gate, IPC_LOADED, (Slice){(const char *)room, wire.len}, -1))
        hang_up(gate);
}

static void adopt(Gate *gate, int fd)
{
    Runner *runner = &gate->runner;
    runner->peer = (IpcPeer){.fd = fd, .self = IPC_GATE, .other = IPC_RUNNER, .stage = IPC_SETUP};
    runner->event = event_new(gate->base, fd, EV_READ | EV_PERSIST, runner_readable, gate);
    event_add(runner->event, NULL);
}

static void runner_arrives(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    Gate *gate = arg;
    Runner *runner = &gate->runner;
    CLEANUP_FD int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct ucred who;
    socklen_t len = sizeof(who);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return;
    if (who.uid != gate->setup.uid) {
        log_warning("a process of user %u asked for the leases of %s, which are user %u's", who.uid,
                    gate->setup.retriever, gate->setup.uid);
        return;
    }
    if (runner->peer.fd >= 0 || runner->greeted)
        return;
    adopt(gate, fd_steal(&fd));
}

void runner_open(Gate *gate)
{
    Runner *runner = &gate->runner;
    runner->peer.fd = -1;
    runner->lease = MEM_NEW_ARRAY(char *, gate->n_source);
    if (gate->setup.runner_connected) {
        adopt(gate, fd_steal(&gate->fd[GATE_FD_RUNNER]));
        return;
    }
    runner->accept_event =
        event_new(gate->base, gate->fd[GATE_FD_RUNNER], EV_READ | EV_PERSIST, runner_arrives, gate);
    event_add(runner->accept_event, NULL);
}
