/* The supervisor's side of the keeper. See keeper-link.h. */
#include "supervisor/keeper-link.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/plan.h"
#include "supervisor/audit-files.h"
#include "supervisor/keeper-files.h"
#include "supervisor/kubeconfig.h"
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/wait.h>

#define SETUP_TIMEOUT_MS 60000

int open_public_roots(const Config *config, int *ret_fd, Fault *fault)
{
    static const char *const usual[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    const char *path = config->site.ca_file;
    int fd = -1;
    if (*path)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; !*path && fd < 0 && i < COUNT_OF(usual); i++)
        fd = open(usual[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0 && *path)
        return fault_set(fault, -errno, "Cannot read site.caFile %s: %s.", path, strerror(errno));
    if (fd < 0)
        return fault_set(fault, -ENOENT,
                         "There is no bundle of public CA certificates on this machine; install the "
                         "package ca-certificates, or say `site: {caFile: ...}`.");
    *ret_fd = fd;
    return 0;
}

/* The passphrase comes from a process of its own, which asks on the terminal, over a pipe that only the
 * keeper reads. */
static int ask_passphrase(const Paths *paths, const char *keyring, int *ret_fd, Fault *fault)
{
    char program[1200];
    int pipe_fd[2];
    snprintf(program, sizeof(program), "%s/purser-token", paths->libexec);
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return fault_set(fault, -errno, "Cannot make a pipe: %s.", strerror(errno));
    pid_t pid = process_fork();
    if (pid == 0) {
        dup2(pipe_fd[1], 3);
        execl(program, "purser-token", "ask-passphrase", "--path", keyring, (char *)NULL);
        _exit(127);
    }
    fd_close(&pipe_fd[1]);
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0) {
        fd_close(&pipe_fd[0]);
        return fault_set(fault, -EACCES, "The keyring's passphrase was not given.");
    }
    *ret_fd = pipe_fd[0];
    return 0;
}

/* A rekey that was killed left two key files: which of them is the keyring's only one that may open it can
 * tell. */
static int mend_key(const Config *config, const Paths *paths, Fault *fault)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.new", config->keyring.key_file);
    char program[1200];
    int status = -1;
    if (access(fresh, F_OK) < 0)
        return 0;
    snprintf(program, sizeof(program), "%s/purser-token", paths->libexec);
    pid_t pid = process_fork();
    if (pid == 0) {
        execl(program, "purser-token", "mend-key", "--path", config->keyring.path, "--key-file",
              config->keyring.key_file, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0
               ? 0
               : fault_set(fault, -EACCES, "The keyring's key cannot be told; the line above says why.");
}

/* The keyring's key: a passphrase, systemd's credential, or the key file. *ret_fd stays -1 when there is none
 * yet. */
static int open_key(const Config *config, const Paths *paths, bool *ret_passphrase, int *ret_fd, Fault *fault)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    *ret_passphrase = config->keyring.passphrase;
    if (config->keyring.passphrase)
        return ask_passphrase(paths, config->keyring.path, ret_fd, fault);
    if (credentials) {
        CLEANUP_MEM char *path = mem_printf("%s/purser-keyring-key", credentials);
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    if (*ret_fd < 0) {
        int r = mend_key(config, paths, fault);
        if (r)
            return r;
    }
    if (*ret_fd < 0)
        *ret_fd = open(config->keyring.key_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return *ret_fd < 0 && errno != ENOENT ? fault_set(fault, -errno, "Cannot read the keyring's key %s: %s.",
                                                      config->keyring.key_file, strerror(errno))
                                          : 0;
}

/* Each port once, of every retriever: a schedule's keeper serves them all. */
static int collect_ports(const Config *config, KeeperSetup *setup, Fault *fault)
{
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t j = 0; j < config->retriever[i].n_egress; j++) {
            uint16_t port = config->retriever[i].egress[j].port;
            size_t k = 0;
            while (k < setup->n_egress_port && setup->egress_port[k] != port)
                k++;
            if (k == IPC_MAX_PORTS)
                return fault_set(fault, -E2BIG,
                                 "The retrievers' `egress:` name more than %d different ports.",
                                 IPC_MAX_PORTS);
            if (k == setup->n_egress_port)
                MEM_PUSH(setup->egress_port, setup->n_egress_port, port);
        }
    return 0;
}

/* A pod is called as its host is; every machine has a name of its own. */
static const char *pod_name(char name[static 256])
{
    const char *said = getenv("POD_NAME");
    if (said && *said)
        return said;
    if (gethostname(name, 256) < 0)
        name[0] = 0;
    name[255] = 0;
    return name;
}

/* One for each keeper: two of one pod, after one another, have none in common. */
static void make_chain(char chain[static AUDIT_CHAIN])
{
    unsigned char bytes[(AUDIT_CHAIN - 1) / 2];
    randombytes_buf(bytes, sizeof(bytes));
    text_hex(chain, bytes, sizeof(bytes));
}

static int send_setup(const Config *config, const Paths *paths, State *state, const bool *used,
                      KeeperLink *keeper, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    CLEANUP_FD int roots = -1, keyring = -1, key = -1;
    CLEANUP(audit_files_close) AuditFiles audit = AUDIT_FILES_NONE;
    char name[256], chain[AUDIT_CHAIN] = "";
    if (state->audit_fd >= 0)
        make_chain(chain);
    KeeperSetup setup = {.audit_optional = config->audit_optional,
                         .audit_before = audit.before,
                         .audit_chain = chain,
                         .audit_pod = (char *)pod_name(name),
                         .sandbox_optional = config->sandbox_optional,
                         .keyring_path = config->keyring.path,
                         .keyring_key = config->keyring.passphrase ? (char *)"" : config->keyring.key_file,
                         .proxy = config->site.proxy,
                         .no_proxy = config->site.no_proxy,
                         .n_no_proxy = config->site.n_no_proxy,
                         .seed = plan_seed(pod_name(name)),
                         .patience = config->patience};
    int r = audit_files_open(state, config->retain.audit, &audit, fault);
    if (!r)
        r = open_public_roots(config, &roots, fault);
    if (r)
        return r;
    if (keeper_needs_keyring(config, used) &&
        (keyring = open(config->keyring.path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) >= 0 &&
        (r = open_key(config, paths, &setup.key_is_passphrase, &key, fault)))
        return r;
    int fd[6] = {audit.file, audit.key, roots};
    size_t n_fd = 3;
    if ((setup.has_audit_tail = audit.tail >= 0))
        fd[n_fd++] = audit.tail;
    if ((setup.has_keyring = keyring >= 0))
        fd[n_fd++] = keyring;
    if ((setup.has_key = key >= 0))
        fd[n_fd++] = key;
    if ((r = collect_ports(config, &setup, fault)) == 0)
        keeper_setup_put(&setup, &wire);
    mem_free(setup.egress_port);
    return r ? r : role_send_wire(&keeper->role, IPC_KEEPER_SETUP, &wire, fd, n_fd, fault);
}

static int send_source(const Source *source, bool used, KeeperLink *keeper, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    KeeperSource message = {.source = *source, .used = used};
    CLEANUP_FD int ca = -1;
    if (*source->ca_file && used) {
        if ((ca = open(source->ca_file, O_RDONLY | O_CLOEXEC)) < 0)
            return fault_set(fault, -errno, "Cannot read caFile %s of source %s: %s.", source->ca_file,
                             source->name, strerror(errno));
        message.has_ca = true;
    }
    keeper_source_put(&message, &wire);
    return role_send_wire(&keeper->role, IPC_KEEPER_SOURCE, &wire, &ca, message.has_ca ? 1 : 0, fault);
}

/* Opened anew each time: a file that was replaced is another file. O_NONBLOCK: a fifo must not hold us up. */
static int send_file(KeeperLink *keeper, uint32_t index, Fault *fault)
{
    unsigned char bytes[5120];
    WireWriter wire = WIRE_WRITER(bytes);
    const char *path = keeper->file[index];
    size_t part = strlen(KUBECONFIG_PART);
    CLEANUP_FD int fd = strncmp(path, KUBECONFIG_PART, part) == 0
                            ? kubeconfig_open(keeper->kubernetes, path + part)
                            : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    KeeperFile file = {index, fd == -1 ? (uint32_t)errno : fd < 0 ? (uint32_t)-fd : 0, keeper->file[index]};
    keeper_file_put(&file, &wire);
    return role_send_wire(&keeper->role, IPC_KEEPER_FILE, &wire, &fd, fd < 0 ? 0 : 1, fault);
}

static int take_token(KeeperLink *keeper, const IpcRecord *record, Fault *fault)
{
    KeeperToken token;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (keeper_token_get(&wire, &token) || token.source >= keeper->n_source)
        return fault_set(fault, -EPROTO, "The keeper said something that cannot be read.");
    keeper->found[token.source] = (KeeperFound){true, token};
    return 0;
}

int keeper_take_record(KeeperLink *keeper, const IpcRecord *record, Fault *fault)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (record->type == IPC_KEEPER_TOKEN)
        return take_token(keeper, record, fault);
    if (record->type != IPC_KEEPER_FILE_WANTED)
        return fault_set(fault, -EPROTO, "The keeper said something unexpected (record %u).", record->type);
    uint32_t index = wire_get_u32(&wire);
    if (wire_finish(&wire) || index >= keeper->n_file)
        return fault_set(fault, -EPROTO, "The keeper asked for a file that is none of its own.");
    return send_file(keeper, index, fault);
}

static int await(KeeperLink *keeper, bool (*done)(const KeeperLink *keeper, const IpcRecord *record),
                 Fault *fault)
{
    static unsigned char room[IPC_MAX_RECORD];
    for (;;) {
        IpcRecord record;
        int r = role_receive(&keeper->role, keeper->wait_ms, room, &record, fault);
        if (!r && record.type != IPC_KEEPER_READY)
            r = keeper_take_record(keeper, &record, fault);
        if (r || done(keeper, &record))
            return r;
    }
}

static bool is_ready(const KeeperLink *keeper, const IpcRecord *record)
{
    (void)keeper;
    return record->type == IPC_KEEPER_READY;
}

static bool knows_all(const KeeperLink *keeper, const IpcRecord *record)
{
    (void)record;
    for (size_t i = 0; i < keeper->n_source; i++)
        if (!keeper->found[i].known)
            return false;
    return true;
}

int keeper_await_tokens(KeeperLink *keeper, Fault *fault)
{
    return knows_all(keeper, NULL) ? 0 : await(keeper, knows_all, fault);
}

/* Where the tokens are: files first, since the others may name them. */
static int send_stores(const Config *config, const bool *used, KeeperLink *keeper, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter vault = WIRE_WRITER(bytes);
    keeper_files_collect(config, used, &keeper->file, &keeper->n_file);
    int r = keeper->n_file > IPC_MAX_FILES
                ? fault_set(fault, -E2BIG, "The configuration names more than %d token files.", IPC_MAX_FILES)
                : 0;
    for (uint32_t i = 0; !r && i < keeper->n_file; i++)
        r = send_file(keeper, i, fault);
    if (!r && config_needs_store(config, STORE_VAULT)) {
        keeper_vault_put(&config->vault, &vault);
        r = role_send_wire(&keeper->role, IPC_KEEPER_VAULT, &vault, NULL, 0, fault);
    }
    if (!r && config_needs_store(config, STORE_KUBERNETES)) {
        WireWriter kubernetes = WIRE_WRITER(bytes);
        keeper_kubernetes_put(&config->kubernetes, &kubernetes);
        r = role_send_wire(&keeper->role, IPC_KEEPER_KUBERNETES, &kubernetes, NULL, 0, fault);
    }
    return r;
}

/* us before a store is called first */
static uint64_t longest_spread(const Config *config)
{
    uint64_t vault = config_needs_store(config, STORE_VAULT) ? config->vault.life.spread : 0;
    uint64_t kubernetes = config_needs_store(config, STORE_KUBERNETES) ? config->kubernetes.life.spread : 0;
    return vault > kubernetes ? vault : kubernetes;
}

int keeper_begin(const Config *config, const Paths *paths, State *state, const bool *used,
                 KeeperLink *ret_keeper, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    KeeperLink keeper = KEEPER_NONE;
    int r = role_start(paths->libexec, IPC_KEEPER, user_of_role(USER_KEEPER), &keeper.role, fault);
    if (r)
        return r;
    keeper.n_source = config->n_source;
    keeper.kubernetes = &config->kubernetes;
    keeper.wait_ms = SETUP_TIMEOUT_MS + (int)((config->patience + longest_spread(config)) / 1000);
    keeper.found = MEM_NEW_ARRAY(KeeperFound, config->n_source);
    r = send_setup(config, paths, state, used, &keeper, fault);
    if (!r)
        r = send_stores(config, used, &keeper, fault);
    for (size_t i = 0; !r && i < config->n_source; i++)
        r = send_source(&config->source[i], used[i], &keeper, fault);
    for (size_t i = 0; !r && i < config->n_policy; i++) {
        WireWriter wire = WIRE_WRITER(bytes);
        policy_put(config->policy[i], &wire);
        r = role_send_wire(&keeper.role, IPC_KEEPER_POLICY, &wire, NULL, 0, fault);
    }
    if (!r)
        r = role_send(&keeper.role, IPC_KEEPER_START, SLICE_LITERAL(""), NULL, 0, fault);
    if (r)
        keeper_stop(&keeper);
    else
        *ret_keeper = keeper;
    return r;
}

int keeper_await(KeeperLink *keeper, Fault *fault)
{
    int r = await(keeper, is_ready, fault);
    keeper->role.peer.stage = IPC_OPEN;
    if (r)
        keeper_stop(keeper);
    return r;
}

int keeper_start(const Config *config, const Paths *paths, State *state, const bool *used,
                 KeeperLink *ret_keeper, Fault *fault)
{
    int r = keeper_begin(config, paths, state, used, ret_keeper, fault);
    return r ? r : keeper_await(ret_keeper, fault);
}

void keeper_stop(KeeperLink *keeper)
{
    role_stop(&keeper->role, 3000);
    mem_free(keeper->found);
    mem_free_strings(keeper->file, keeper->n_file);
    *keeper = KEEPER_NONE;
}

int keeper_run_open(KeeperLink *keeper, const KeeperRun *run, const int *fd, size_t n_fd, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    keeper_run_put(run, &wire);
    return role_send_wire(&keeper->role, IPC_KEEPER_RUN_OPEN, &wire, fd, n_fd, fault);
}

int keeper_run_close(KeeperLink *keeper, const char *run, Fault *fault)
{
    return role_send(&keeper->role, IPC_KEEPER_RUN_CLOSE, slice_of(run), NULL, 0, fault);
}

void keeper_turn_audit(KeeperLink *keeper, const State *state, uint64_t retain)
{
    CLEANUP(audit_files_close) AuditFiles files = AUDIT_FILES_NONE;
    Fault fault;
    if (!audit_files_turn(state, retain, &files))
        return;
    if (role_send(&keeper->role, IPC_KEEPER_AUDIT, slice_of(files.before), &files.file, 1, &fault))
        log_warning("%s", fault.text);
}

int keeper_send_credential(KeeperLink *keeper, const TokenRef *ref, int clerk_fd, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    token_ref_put(ref, &wire);
    return role_send_wire(&keeper->role, IPC_KEEPER_CREDENTIAL, &wire, &clerk_fd, 1, fault);
}
