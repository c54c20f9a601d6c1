/* purser-gate: takes the requests of one run's clients, and hands them to the keeper.
 *
 *   supervisor --fd 3: set-up, then READY, STOP-->  gate  <--FINISHED, FAULT-- supervisor
 *   clients    --TCP, unix: HTTP, CONNECT, TLS--->  gate  --a stream per connection--> keeper
 *   runner     --unix: outputs, how it ended----->  gate  --results channel--> clerk
 *
 * It opens no file and makes no connection: every descriptor was handed to it.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "gate/client.h"
#include "gate/keeper-link.h"
#include "gate/run-ca.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define MOST_DESCRIPTORS 16384 /* two per client and one per output that waits */
#define ACCEPTS_AT_ONCE  16

void gate_end(Gate *gate, const char *sentence)
{
    if (sentence) {
        int lost =
            gate->supervisor.fd < 0 ? 0 : ipc_send(&gate->supervisor, IPC_FAULT, slice_of(sentence), NULL, 0);
        (void)lost;
        gate->exit_status = EXIT_FAILURE;
    }
    event_base_loopbreak(gate->base);
}

static void supervisor_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    Gate *gate = arg;
    IpcRecord record;
    int r = ipc_recv(&gate->supervisor, gate->record, &record);
    if (r == -EAGAIN)
        return;
    if (!r)
        ipc_record_close(&record); /* STOP is all that it may say now */
    results_pass_on(gate);
    gate_end(gate, NULL);
}

static void arrive(Gate *gate, int listener, bool unix_socket)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE && gate->n_client < GATE_MAX_CLIENTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        client_open(gate, fd, unix_socket);
    }
}

static void tcp_arrives(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    arrive(arg, listener, false);
}

static void unix_arrives(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    arrive(arg, listener, true);
}

static int prepare_descriptors(Gate *gate)
{
    int on = 1, r = io_set_nonblocking(gate->supervisor.fd);
    for (size_t i = 0; !r && i < GATE_FD_ROOTS; i++)
        r = io_set_nonblocking(gate->fd[i]);
    /* Accepted connections inherit it. */
    if (!r && setsockopt(gate->fd[GATE_FD_TCP], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        r = -errno;
    struct rlimit files;
    if (!r && getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < MOST_DESCRIPTORS) {
        files.rlim_cur = files.rlim_max < MOST_DESCRIPTORS ? files.rlim_max : MOST_DESCRIPTORS;
        r = setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
    }
    return r;
}

static int open_events(Gate *gate, Fault *fault)
{
    gate->base = event_base_new();
    if (!gate->base)
        return fault_set(fault, -ENOMEM, "the gate's event loop cannot be made");
    gate->supervisor_event =
        event_new(gate->base, gate->supervisor.fd, EV_READ | EV_PERSIST, supervisor_readable, gate);
    gate->tcp_event = event_new(gate->base, gate->fd[GATE_FD_TCP], EV_READ | EV_PERSIST, tcp_arrives, gate);
    gate->unix_event =
        event_new(gate->base, gate->fd[GATE_FD_UNIX], EV_READ | EV_PERSIST, unix_arrives, gate);
    gate->tick = event_new(gate->base, -1, EV_PERSIST, client_tick, gate);
    event_add(gate->supervisor_event, NULL);
    event_add(gate->tcp_event, NULL);
    event_add(gate->unix_event, NULL);
    keeper_link_open(gate);
    results_open(gate);
    runner_open(gate);
    return 0;
}

static int lock_in(Gate *gate, Fault *fault)
{
    const SandboxSpec spec = {.role = SANDBOX_GATE, .optional = gate->setup.sandbox_optional};
    int r = sandbox_enter(&spec, fault);
    if (r == SANDBOX_E_PARTIAL) {
        log_warning("%s", fault->text);
        r = 0;
    }
    return r;
}

static int start(Gate *gate, Fault *fault)
{
    int r = gate_setup_read(gate, fault);
    if (!r && (r = prepare_descriptors(gate)))
        fault_set(fault, r, "the gate's descriptors cannot be used: %s", strerror(-r));
    if (!r)
        r = open_events(gate, fault);
    if (!r)
        r = lock_in(gate, fault);
    if (!r && (r = ipc_send(&gate->supervisor, IPC_GATE_READY, (Slice){"", 0}, NULL, 0)))
        fault_set(fault, r, "the supervisor cannot be told that the gate is ready: %s", strerror(-r));
    return r;
}

int main(void)
{
    static Gate gate = {
        .supervisor = {.fd = IPC_CONTROL_FD, .self = IPC_GATE, .other = IPC_SUPERVISOR, .stage = IPC_SETUP}};
    Fault fault = {""};
    log_open("purser-gate", LOG_INFO);
    int r = sandbox_harden(&fault);
    signal(SIGPIPE, SIG_IGN);
    gate.record = mem_new(1, IPC_MAX_RECORD);
    if (!r && (sodium_init() < 0 || !OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL)))
        r = fault_set(&fault, -EIO, "libsodium or OpenSSL does not start");
    run_ca_keys_ahead(); /* whose gate it is may not be decided yet */
    if (!r)
        r = start(&gate, &fault);
    if (r == -ECONNRESET && !gate.setup.run) /* no run came for it */
        return EXIT_SUCCESS;
    if (r) {
        log_error("%s", fault.text);
        int ignored = ipc_send(&gate.supervisor, IPC_FAULT, slice_of(fault.text), NULL, 0);
        (void)ignored;
        return EXIT_FAILURE;
    }
    gate.supervisor.stage = IPC_OPEN;
    malloc_trim(0); /* what making the run's CA took */
    event_base_dispatch(gate.base);
    sodium_memzero(gate.proxy_key, sizeof(gate.proxy_key));
    return gate.exit_status;
}
