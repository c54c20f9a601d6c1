/* The keeper's beginning. See setup.h. */
#include "keeper/setup.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "ipc/keeper.h"
#include "keeper/conn.h"
#include "keeper/tls.h"
#include "sandbox/sandbox.h"
#include "store/file.h"
#include "store/keyring-store.h"
#include "store/kubernetes.h"
#include "store/mint.h"
#include "store/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

/* Waits at both ends of the control socket, which its other owner has made non-blocking. */
static int wait_control(const Keeper *keeper, short events)
{
    struct pollfd one = {keeper->supervisor.fd, events, 0};
    int n = poll(&one, 1, -1);
    return n < 0 && errno != EINTR ? -errno : 0;
}

int setup_tell(Keeper *keeper, uint16_t type, Slice payload)
{
    int r;
    while ((r = ipc_send(&keeper->supervisor, type, payload, NULL, 0)) == -EAGAIN)
        if ((r = wait_control(keeper, POLLOUT)))
            return r;
    return r;
}

void setup_open_keyring(Keeper *keeper)
{
    Fault fault = {.text = ""};
    Keyring *ring = NULL;
    KeyringLock lock;
    bool passphrase = false;
    int r = -ENOENT;
    if (keeper->ring_fd < 0)
        fault_set(&fault, r, "there is no keyring %s yet: `purser token set NAME` makes it",
                  keeper->ring_path);
    else if (keeper->key_fd < 0)
        fault_set(&fault, r, "the keyring %s stays shut: its key file is missing", keeper->ring_path);
    else
        r = keyring_peek(keeper->ring_fd, &passphrase, &fault);
    if (r == 0 && passphrase != keeper->key_is_passphrase)
        r = fault_set(&fault, -EINVAL, "the keyring %s is sealed with a %s: say `keyring: {passphrase: %s}`",
                      keeper->ring_path, passphrase ? "passphrase" : "key file",
                      passphrase ? "true" : "false");
    KeyringKey key = {keeper->key_is_passphrase, keeper->key_fd};
    r = r ? r : keyring_read_lock(keeper->ring_path, keeper->ring_fd, &key, &lock, &ring, &fault);
    if (r == 0)
        keeper->stores.store[STORE_KEYRING] =
            store_keyring_new(ring, lock, keeper->files, keeper->ring_path, keeper->ring_key);
    else
        keeper->stores.shut[STORE_KEYRING] =
            mem_strdup(fault.text[0] ? fault.text : "the keyring cannot be read");
    fd_close(&keeper->ring_fd);
    fd_close(&keeper->key_fd);
}

/* The kernel was asked what it made of the arena. */
static int check_memory(const Keeper *keeper, Fault *fault)
{
    SecretProtection of = secret_protection();
    if (of.locked && of.not_dumped)
        return 0;
    fault_set(fault, -EPERM,
              "Memory for secrets is not %s, though the kernel was asked for that; allow it with `sandbox: "
              "{required: false}`.",
              of.locked ? "left out of dumps" : "locked against swapping");
    if (!keeper->sandbox_optional)
        return -EPERM;
    log_warning("%s", fault->text);
    return 0;
}

int setup_lock_in(Keeper *keeper, Fault *fault)
{
    Ports ports = {.n = 0};
    for (size_t i = 0; i < keeper->n_egress_port; i++)
        ports_add(&ports, keeper->egress_port[i]);
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        const Source *source = &keeper->upstream[i].source;
        ports_add_source(&ports, source, &source->token);
    }
    ports_add(&ports, port_at_end(keeper->proxy));
    if (keeper->vault.configured)
        ports_add(&ports, keeper->vault.origin.port);
    if (keeper->kubernetes.configured)
        ports_add(&ports, keeper->kubernetes.origin.port);
    SandboxSpec spec = {.role = SANDBOX_KEEPER,
                        .optional = keeper->sandbox_optional,
                        .connect_port = ports.port,
                        .n_connect_port = ports.n};
    int r = check_memory(keeper, fault);
    r = r ? r : sandbox_enter(&spec, fault);
    if (r != SANDBOX_E_PARTIAL)
        return r;
    log_warning("%s", fault->text);
    return 0;
}

void keeper_mind_clock(Keeper *keeper)
{
    char text[SKEW_TEXT];
    if (skew_matters(&keeper->skew) && !keeper->skew_told)
        log_warning("%s: set it right (NTP), since certificates and tokens are judged by it",
                    skew_text(text, &keeper->skew));
    keeper->skew_told = skew_matters(&keeper->skew);
}

int keeper_flush_audit(Keeper *keeper)
{
    int r = audit_flush(keeper->audit);
    if (r && !keeper->audit_failed)
        log_error("the audit cannot be written: %s; %s", strerror(-r),
                  keeper->audit_optional ? "requests go on (audit.onFailure)"
                                         : "requests are refused until it can");
    if (!r && keeper->audit_failed)
        log_info("the audit can be written again");
    keeper->audit_failed = r != 0;
    return r;
}

bool keeper_record(Keeper *keeper, const AuditEvent *event)
{
    uint64_t number = audit_add(keeper->audit, event);
    return keeper_flush_audit(keeper) == 0 && number;
}

/* The audit's descriptors: its file, its key, and the file that its chain ends in. */
static int open_audit(Keeper *keeper, const KeeperSetup *setup, IpcRecord *record, Fault *fault)
{
    CLEANUP_FD int file = ipc_record_take(record, 0), key = ipc_record_take(record, 1);
    CLEANUP_FD int tail = setup->has_audit_tail ? ipc_record_take(record, 3) : -1;
    int r = audit_key_read(key, keeper->audit_key, fault);
    keeper->audit_optional = setup->audit_optional;
    if (r)
        return r;
    audit_installation(keeper->audit_key, keeper->installation);
    if (!setup->audit_chain[0])
        return audit_open(fd_steal(&file), tail, setup->audit_before, keeper->audit_key, &keeper->audit,
                          fault);
    const AuditPod pod = {keeper->installation, setup->audit_chain, setup->audit_pod};
    audit_chain_key(keeper->audit_key, setup->audit_chain, keeper->audit_key);
    r = audit_open_pod(fd_steal(&file), &pod, keeper->audit_key, &keeper->audit, fault);
    size_t len = strlen(keeper->installation);
    snprintf(keeper->installation + len, sizeof(keeper->installation) - len, "-%s", setup->audit_chain);
    return r;
}

static int take_setup(Keeper *keeper, IpcRecord *record, Fault *fault)
{
    KeeperSetup setup;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper_setup_get(&wire, &setup);
    if (r == 0 && record->n_fd != 3u + setup.has_audit_tail + setup.has_keyring + setup.has_key)
        r = -EPROTO;
    if (r)
        return fault_set(fault, r, "the supervisor's set-up cannot be read");
    r = open_audit(keeper, &setup, record, fault);
    size_t next = 3u + setup.has_audit_tail;
    keeper->ca_fd = ipc_record_take(record, 2);
    keeper->ring_fd = setup.has_keyring ? ipc_record_take(record, next++) : -1;
    keeper->key_fd = setup.has_key ? ipc_record_take(record, next) : -1;
    keeper->ring_path = STEAL(setup.keyring_path);
    keeper->ring_key = STEAL(setup.keyring_key);
    keeper->key_is_passphrase = setup.key_is_passphrase;
    keeper->sandbox_optional = setup.sandbox_optional;
    keeper->seed = setup.seed;
    keeper->patience = setup.patience;
    keeper->proxy = STEAL(setup.proxy);
    keeper->no_proxy = STEAL(setup.no_proxy);
    keeper->n_no_proxy = setup.n_no_proxy;
    setup.n_no_proxy = 0;
    keeper->egress_port = STEAL(setup.egress_port);
    keeper->n_egress_port = setup.n_egress_port;
    keeper_setup_done(&setup);
    return r;
}

static int take_source(Keeper *keeper, IpcRecord *record, Fault *fault)
{
    KeeperSource source;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper_source_get(&wire, &source);
    if (r == 0 && (record->n_fd != (size_t)source.has_ca || keeper->n_upstream >= CONFIG_MAX_SOURCES)) {
        keeper_source_done(&source);
        r = -EPROTO;
    }
    if (r)
        return fault_set(fault, r, "a source of the supervisor's cannot be read");
    Upstream upstream = {.index = (uint32_t)keeper->n_upstream, .used = source.used, .source = source.source};
    upstream.ca_fd = source.has_ca ? ipc_record_take(record, 0) : -1;
    MEM_PUSH(keeper->upstream, keeper->n_upstream, upstream);
    return 0;
}

int setup_take_file(Keeper *keeper, IpcRecord *record)
{
    KeeperFile file;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper_file_get(&wire, &file);
    if (r)
        return r;
    int fd = record->n_fd ? ipc_record_take(record, 0) : -1;
    r = store_files_give(keeper->files, file.index, file.path, fd, (int)file.error);
    mem_free(file.path);
    return r;
}

static int take_vault(Keeper *keeper, const IpcRecord *record, Fault *fault)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper->vault.configured ? -EPROTO : keeper_vault_get(&wire, &keeper->vault);
    return r ? fault_set(fault, r, "the supervisor's word on Vault cannot be read") : 0;
}

static int take_kubernetes(Keeper *keeper, const IpcRecord *record, Fault *fault)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = keeper->kubernetes.configured ? -EPROTO : keeper_kubernetes_get(&wire, &keeper->kubernetes);
    return r ? fault_set(fault, r, "the supervisor's word on Kubernetes cannot be read") : 0;
}

static int take_policy(Keeper *keeper, const IpcRecord *record, Fault *fault)
{
    Policy *policy;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    int r = policy_get(&wire, &policy);
    if (r)
        return fault_set(fault, r, "a policy of the supervisor's cannot be read");
    MEM_PUSH(keeper->policy, keeper->n_policy, policy);
    return 0;
}

static int take_record(Keeper *keeper, IpcRecord *record, bool *ret_started, Fault *fault)
{
    bool set_up = keeper->audit != NULL;
    switch (record->type) {
    case IPC_KEEPER_SETUP:
        return set_up ? -EPROTO : take_setup(keeper, record, fault);
    case IPC_KEEPER_SOURCE:
        return set_up ? take_source(keeper, record, fault) : -EPROTO;
    case IPC_KEEPER_FILE:
        return set_up ? setup_take_file(keeper, record) : -EPROTO;
    case IPC_KEEPER_VAULT:
        return set_up ? take_vault(keeper, record, fault) : -EPROTO;
    case IPC_KEEPER_KUBERNETES:
        return set_up ? take_kubernetes(keeper, record, fault) : -EPROTO;
    case IPC_KEEPER_POLICY:
        return set_up ? take_policy(keeper, record, fault) : -EPROTO;
    case IPC_KEEPER_START:
        *ret_started = true;
        return set_up ? 0 : -EPROTO;
    case IPC_STOP:
        return -ECANCELED;
    default:
        return -EPROTO;
    }
}

static void make_endpoints(Upstream *upstream)
{
    const Source *source = &upstream->source;
    upstream->endpoint = MEM_NEW_ARRAY(Endpoint, source_hosts(source));
    for (uint32_t i = 0; i < source_hosts(source); i++) {
        Endpoint *endpoint = &upstream->endpoint[i];
        *endpoint = (Endpoint){
            .upstream = upstream, .use = source_use(source, i), .origin = source_origin(source, i)};
        TAILQ_INIT(&endpoint->conns);
    }
}

static void endpoints_done(Upstream *upstream)
{
    for (size_t i = 0; i < source_hosts(&upstream->source); i++) {
        while (!TAILQ_EMPTY(&upstream->endpoint[i].conns))
            conn_free(TAILQ_FIRST(&upstream->endpoint[i].conns));
        mem_free(upstream->endpoint[i].closed);
    }
}

static void ask_file(void *context, uint32_t index)
{
    Keeper *keeper = context;
    unsigned char room[8];
    WireWriter wire = WIRE_WRITER(room);
    wire_put_u32(&wire, index);
    if (setup_tell(keeper, IPC_KEEPER_FILE_WANTED, (Slice){(char *)room, wire.len}) != 0)
        log_error("the supervisor does not listen");
}

static bool mints(const Keeper *keeper)
{
    for (size_t i = 0; i < keeper->n_upstream; i++)
        if (keeper->upstream[i].source.token.mint)
            return true;
    return false;
}

/* libcurl's second multi handle, and what else the network's stores need, only where there is one. */
static int open_stores(Keeper *keeper, Fault *fault)
{
    Store **store = keeper->stores.store;
    StoreClientSetup setup = {keeper->base,     keeper->files,      keeper->ca_fd, keeper->proxy,
                              keeper->no_proxy, keeper->n_no_proxy, &keeper->skew};
    store[STORE_FILE] = store_file_new(keeper->files);
    if (!keeper->vault.configured && !keeper->kubernetes.configured && !mints(keeper))
        return 0;
    setup.roots_fd = keeper->roots_fd = fcntl(keeper->ca_fd, F_DUPFD_CLOEXEC, 3);
    int r = store_client_new(&setup, &keeper->client, fault);
    if (r == 0 && keeper->vault.configured)
        store[STORE_VAULT] =
            store_vault_new(&keeper->vault, keeper->client, &keeper->stores, keeper->base, keeper->seed);
    if (r == 0) {
        store[STORE_GITHUB_APP] = store_github_app_new(keeper->client, &keeper->stores);
        store[STORE_OAUTH2] = store_oauth2_new(keeper->client, &keeper->stores);
    }
    if (r == 0 && keeper->kubernetes.configured) {
        store[STORE_KUBERNETES] = store_kubernetes_new(&keeper->kubernetes, keeper->client, &keeper->stores);
        store[STORE_TOKEN_REQUEST] =
            store_token_request_new(&keeper->kubernetes, keeper->client, &keeper->stores);
    }
    return r;
}

int setup_receive(Keeper *keeper, Fault *fault)
{
    static unsigned char room[IPC_MAX_RECORD] __attribute__((aligned(16)));
    bool started = false;
    int r = 0;
    keeper->files = store_files_new(keeper->base, ask_file, keeper);
    while (r == 0 && !started) {
        IpcRecord record;
        r = ipc_recv(&keeper->supervisor, room, &record);
        if (r == -EAGAIN) {
            r = wait_control(keeper, POLLIN);
            continue;
        }
        if (r)
            break;
        r = take_record(keeper, &record, &started, fault);
        ipc_record_close(&record);
    }
    /* The array has its last place: what points into it, stays. */
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        Upstream *upstream = &keeper->upstream[i];
        make_endpoints(upstream);
        share_init(&upstream->share, upstream->source.per_kilosecond, clock_mono());
        upstream->limits.reserve = upstream->source.reserve;
        upstream->limits.reserve_percent = upstream->source.reserve_percent;
    }
    return r ? r : open_stores(keeper, fault);
}

void setup_done(Keeper *keeper)
{
    for (size_t i = 0; i < keeper->n_upstream; i++) {
        Upstream *upstream = &keeper->upstream[i];
        endpoints_done(upstream);
        tls_done(upstream);
        mem_free(upstream->endpoint);
        fd_close(&upstream->ca_fd);
        KeeperSource source = {.source = upstream->source};
        keeper_source_done(&source);
    }
    mem_free(keeper->upstream);
    for (size_t i = 0; i < keeper->n_policy; i++)
        policy_free(keeper->policy[i]);
    mem_free(keeper->policy);
    store_client_free(keeper->client);
    stores_free(&keeper->stores);
    store_files_free(keeper->files);
    vault_config_done(&keeper->vault);
    kubernetes_config_done(&keeper->kubernetes);
    fd_close(&keeper->roots_fd);
    mem_free(keeper->ring_path);
    mem_free(keeper->ring_key);
    mem_free(keeper->proxy);
    mem_free_strings(keeper->no_proxy, keeper->n_no_proxy);
    mem_free(keeper->egress_port);
    X509_STORE_free(keeper->roots);
    fd_close(&keeper->ca_fd);
    audit_free(keeper->audit);
}
