/* The supervisor's side of a run's gate. See gate-link.h. */
#include "supervisor/gate-link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/netns.h"
#include "supervisor/reveal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#define SETUP_TIMEOUT_MS 15000

typedef struct Sockets {
    int tcp, http, runner, keeper_gate_end, keeper_end, results_gate_end, roots;
    uint16_t port;
} Sockets;

static void sockets_close(Sockets *sockets)
{
    int *const all[] = {&sockets->tcp,        &sockets->http,
                        &sockets->runner,     &sockets->keeper_gate_end,
                        &sockets->keeper_end, &sockets->results_gate_end,
                        &sockets->roots};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        fd_close(all[i]);
}

static int open_sockets_in_pod(Run *run, Sockets *sockets, Fault *fault)
{
    sockets->runner = fcntl(run->place.runner, F_DUPFD_CLOEXEC, 3);
    if (sockets->runner < 0)
        return fault_set(fault, -errno, "Cannot hand over the runner's connection: %s.", strerror(errno));
    return run_folder_listen_shared(run->place.folder, "http", SOCK_STREAM, &sockets->http, fault);
}

static int open_sockets(Run *run, unsigned number, Sockets *sockets, Fault *fault)
{
    Supervisor *supervisor = run->supervisor;
    int pair[2];
    bool in_pod = run->place.folder != NULL;
    int r = netns_listen(supervisor->isolated, &sockets->tcp, &sockets->port, &run->ns_fd, fault);
    if (r && supervisor->isolated) {
        /* Without namespaces the runner's own limit (Landlock) is what is left; doctor says so. */
        log_warning("%s Runs are kept to their gate by Landlock alone.", fault->text);
        supervisor->isolated = false;
        r = netns_listen(false, &sockets->tcp, &sockets->port, &run->ns_fd, fault);
    }
    if (!r && in_pod)
        r = open_sockets_in_pod(run, sockets, fault);
    else if (!r)
        r = run_folder_listen(supervisor->state, &run->folder, number, &run->user, &sockets->http,
                              &sockets->runner, fault);
    if (!r)
        r = open_public_roots(supervisor->config, &sockets->roots, fault);
    if (!r && !(r = ipc_pair(true, pair))) {
        sockets->keeper_gate_end = pair[0];
        sockets->keeper_end = pair[1];
    }
    if (!r && !(r = ipc_pair(true, pair))) {
        sockets->results_gate_end = pair[0];
        run->results_fd = pair[1];
    }
    return r;
}

/* For this one run what is safe passes, whatever the rules say. */
static GrantRef *watched(const Retriever *retriever)
{
    GrantRef *grant = MEM_NEW_ARRAY(GrantRef, retriever->n_grant ? retriever->n_grant : 1);
    for (size_t i = 0; i < retriever->n_grant; i++) {
        grant[i] = retriever->grant[i];
        grant[i].audit_until = INT64_MAX;
    }
    return grant;
}

static int open_at_keeper(Run *run, unsigned number, int keeper_end, Fault *fault)
{
    const Retriever *retriever = run->retriever;
    KeeperRun message = {.run = run->id, .retriever = retriever->name, .time_limit = retriever->time_limit};
    if (!run->collect) {
        message.grant = retriever->grant, message.n_grant = retriever->n_grant;
        message.egress = retriever->egress, message.n_egress = retriever->n_egress;
    }
    message.record = run->supervisor->recorded && !run->collect;
    CLEANUP_MEM GrantRef *grant = message.record ? watched(retriever) : NULL;
    if (grant)
        message.grant = grant;
    int fd[1 + CONFIG_MAX_REVEALED] = {keeper_end};
    int r = reveal_files(run, number, &message, fd + 1, fault);
    r = r ? r : keeper_run_open(&run->supervisor->keeper, &message, fd, 1 + message.n_reveal, fault);
    for (size_t i = 0; i < message.n_reveal; i++)
        fd_close(&fd[1 + i]);
    run->keeper_open = r == 0;
    return r;
}

static int send_setup(Run *run, const Sockets *sockets, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    char since[CLOCK_TEXT], until[CLOCK_TEXT], socket_path[128];
    const Retriever *retriever = run->retriever;
    WireWriter wire = WIRE_WRITER(bytes);
    snprintf(socket_path, sizeof(socket_path), "%s/http",
             run->place.folder ? POD_FOLDER : run->folder.sockets);
    GateSetup setup = {.run = run->id,
                       .retriever = retriever->name,
                       .uid = run->user.uid,
                       .port = sockets->port,
                       .socket_path = socket_path,
                       .since = clock_format(since, run->report.since),
                       .until = clock_format(until, run->report.until),
                       .time_limit = retriever->time_limit,
                       .grace = retriever->grace,
                       .output_bytes = retriever->output_bytes,
                       .output_files = retriever->output_files,
                       .sandbox_optional = run->supervisor->config->sandbox_optional,
                       .runner_connected = run->place.folder != NULL};
    gate_setup_put(&setup, &wire);
    const int fd[6] = {
        sockets->tcp,  sockets->http, sockets->runner, sockets->keeper_gate_end, sockets->results_gate_end,
        sockets->roots};
    return role_send_wire(&run->gate, IPC_GATE_SETUP, &wire, fd, COUNT_OF(fd), fault);
}

/* Not those that the rules of another retriever's policy name. */
static uint32_t hosts_of_grant(const Source *source, const Policy *policy)
{
    uint32_t hosts = 0;
    for (uint32_t i = 0; i < source_hosts(source); i++) {
        bool named = source_use(source, i) != HOST_RULE;
        for (size_t k = 0; k < policy->n_rule && !named; k++)
            named =
                !policy->rule[k].deny && strcmp(policy->rule[k].host, source_origin(source, i)->host) == 0;
        hosts |= (uint32_t)named << i;
    }
    return hosts;
}

static int send_rules(Run *run, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    const Config *config = run->supervisor->config;
    const Retriever *retriever = run->retriever;
    int r = 0;
    for (size_t i = 0; !r && !run->collect && i < retriever->n_grant; i++) {
        WireWriter wire = WIRE_WRITER(bytes);
        uint32_t index = retriever->grant[i].source;
        const Source *source = &config->source[index];
        uint32_t hosts = hosts_of_grant(source, config->policy[retriever->grant[i].policy]);
        GateSource message = {.index = index, .hosts = hosts, .source = *source};
        if (reveal_is_granted(run, &retriever->grant[i]))
            reveal_path(run, index, message.token_file);
        gate_source_put(&message, &wire);
        r = role_send_wire(&run->gate, IPC_GATE_SOURCE, &wire, NULL, 0, fault);
    }
    for (size_t i = 0; !r && !run->collect && i < retriever->n_egress; i++) {
        WireWriter wire = WIRE_WRITER(bytes);
        host_port_put(&retriever->egress[i], &wire);
        r = role_send_wire(&run->gate, IPC_GATE_EGRESS, &wire, NULL, 0, fault);
    }
    for (size_t i = 0; !r && !run->collect && i < retriever->n_env; i++) {
        WireWriter wire = WIRE_WRITER(bytes);
        const EnvEntry *entry = &retriever->env[i];
        run_env_put(&(RunEnv){slice_of(entry->name), slice_of(entry->value), entry->source}, &wire);
        r = role_send_wire(&run->gate, IPC_GATE_ENV, &wire, NULL, 0, fault);
    }
    return r ? r : role_send(&run->gate, IPC_GATE_START, SLICE_LITERAL(""), NULL, 0, fault);
}

/* One that came up before its run was known, or a new one. */
static int take_gate(Run *run, Fault *fault)
{
    Supervisor *supervisor = run->supervisor;
    run->gate = supervisor->first_gate;
    supervisor->first_gate = ROLE_NONE;
    return run->gate.pid > 0
               ? 0
               : role_start(supervisor->paths->libexec, IPC_GATE, user_of_role(USER_GATE), &run->gate, fault);
}

int gate_begin(Run *run, Fault *fault)
{
    Sockets sockets = {-1, -1, -1, -1, -1, -1, -1, 0};
    unsigned number = run->supervisor->next_socket++;
    int r = open_sockets(run, number, &sockets, fault);
    if (!r)
        r = open_at_keeper(run, number, sockets.keeper_end, fault);
    if (!r)
        r = take_gate(run, fault);
    if (!r)
        r = send_setup(run, &sockets, fault);
    sockets_close(&sockets);
    return r ? r : send_rules(run, fault);
}

int gate_await(Run *run, Fault *fault)
{
    static unsigned char room[IPC_MAX_RECORD];
    IpcRecord record;
    int r = role_receive(&run->gate, SETUP_TIMEOUT_MS, room, &record, fault);
    if (!r && record.type != IPC_GATE_READY)
        r = fault_set(fault, -EPROTO, "The gate said something unexpected (record %u).", record.type);
    if (!r)
        run->gate.peer.stage = IPC_OPEN;
    return r;
}
