/* Handing over to purser-rotate. See rotate-link.h. */
#include "purser/rotate-link.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "purser/audit-files.h"
#include "purser/command.h"
#include "purser/keeper-link.h"
#include "purser/kubeconfig.h"
#include "store/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

/* KV 2 has check-and-set, without which two writers could lose a token. */
static int check_vault(const Source *source)
{
    const TokenRef *token = &source->token;
    const char *what = !strstr(token->name, "/data/")
                           ? "only KV 2 can be rotated (its path is MOUNT/data/NAME)"
                       : !token->key[0] ? "say which `key:` of the secret the token is"
                       : token->version ? "a pinned `version:` never changes"
                                        : NULL;
    if (!what)
        return -1;
    log_error("%s: its token is in Vault at %s; %s.", source->name, token->name, what);
    return EXIT_USAGE;
}

static int check_secret(const Source *source)
{
    if (source->token.key[0])
        return -1;
    log_error("%s: its token is in the Secret %s; say which `key:` of it.", source->name, source->token.name);
    return EXIT_USAGE;
}

/* What purser can rotate: where the token is kept as text that a person put there. */
static int check_kept(const Source *source)
{
    const TokenRef *token = &source->token;
    switch (token->kind) {
    case STORE_KEYRING:
    case STORE_FILE:
        return -1;
    case STORE_VAULT:
        return check_vault(source);
    case STORE_KUBERNETES:
        return check_secret(source);
    default:
        log_error("%s: its tokens are minted and live for an hour or less. What they are minted with is "
                  "replaced by "
                  "hand.",
                  source->name);
        return EXIT_USAGE;
    }
}

/* A run that is given the token itself may use it until it ends. */
static uint64_t longest_revealed(const Config *config, const Source *source)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < config->n_retriever; i++) {
        const Retriever *retriever = &config->retriever[i];
        for (size_t k = 0; k < retriever->n_grant; k++) {
            const GrantRef *grant = &retriever->grant[k];
            bool same = token_ref_equal(&config->source[grant->source].token, &source->token);
            if (same && config->policy[grant->policy]->reveal && retriever->time_limit > longest)
                longest = retriever->time_limit;
        }
    }
    return longest;
}

/* The path of the public roots, which open_public_roots() chooses. */
static int find_roots(const Config *config, char *path, size_t size, Fault *fault)
{
    CLEANUP_FD int fd = -1;
    char link[64];
    int r = open_public_roots(config, &fd, fault);
    if (r)
        return r;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n < 0)
        return fault_set(fault, -errno, "The public roots cannot be named: %s.", strerror(errno));
    path[n] = 0;
    return 0;
}

/* A blob in memory, at its beginning. */
static int write_blob(const RotateSetup *setup, int *ret_fd, Fault *fault)
{
    CLEANUP_MEM unsigned char *room = MEM_NEW_ARRAY(unsigned char, ROTATE_MAX_BLOB);
    WireWriter wire = {.data = room, .room = ROTATE_MAX_BLOB};
    rotate_setup_put(setup, &wire);
    if (wire.failed)
        return fault_set(fault, -EMSGSIZE, "The source's configuration is too long for a rotation.");
    CLEANUP_FD int fd = memfd_create("purser-rotate", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : io_write_all(fd, wire.data, wire.len);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    if (r)
        return fault_set(fault, r, "The configuration cannot be handed over: %s.", strerror(-r));
    *ret_fd = fd_steal(&fd);
    return 0;
}

/* Returns only when it could not. */
static void hand_over(const Session *session, int fd, Fault *fault)
{
    char program[1200];
    char *const words[] = {(char *)"purser-rotate", NULL};
    snprintf(program, sizeof(program), "%s/purser-rotate", session->paths.libexec);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    if (fd < 0 || dup2(fd, ROTATE_FD) < 0 || execv(program, words) < 0)
        fault_set(fault, -errno, "Cannot start %s: %s; purser is not installed whole.", program,
                  strerror(errno));
}

/* Where `vault login` and `bao login` put it. */
static int find_vault_token(const Source *source, RotateSetup *setup, char *path, size_t size, Fault *fault)
{
    const char *home = getenv("HOME");
    if (source->token.kind != STORE_VAULT || setup->vault_token)
        return 0;
    if (!home || home[0] != '/')
        return fault_set(fault, -ENOENT, "Say --vault-token FILE: a token that may write the secret.");
    snprintf(path, size, "%s/.vault-token", home);
    setup->vault_token = path;
    return 0;
}

/* What a kubeconfig holds itself is read by a child, into memory that purser-rotate inherits. */
static int open_part(const KubernetesConfig *config, char **at, Fault *fault)
{
    size_t part = strlen(KUBECONFIG_PART);
    if (strncmp(*at, KUBECONFIG_PART, part) != 0)
        return 0;
    CLEANUP_FD int fd = kubeconfig_open(config, *at + part);
    int kept = fd < 0 ? -1 : fcntl(fd, F_DUPFD, 64); /* past those that it is started with */
    if (kept < 0)
        return fault_set(fault, -EIO, "The kubeconfig %s cannot be passed on.", config->kubeconfig);
    mem_free(*at);
    *at = mem_printf("/proc/self/fd/%d", kept);
    return 0;
}

static int open_parts(KubernetesConfig *config, Fault *fault)
{
    int r = open_part(config, &config->ca_file, fault);
    r = r ? r : open_part(config, &config->cert_file, fault);
    r = r ? r : open_part(config, &config->key_file, fault);
    return r ? r : open_part(config, &config->token.name, fault);
}

/* How soon every agent must have read the store again. */
static uint64_t refresh_of(const Config *config, const Source *source)
{
    return source->token.kind == STORE_VAULT        ? config->vault.life.refresh
           : source->token.kind == STORE_KUBERNETES ? config->kubernetes.life.refresh
                                                    : PLAN_LOCAL_REFRESH;
}

static void fill(const Session *session, const Source *source, char *roots, RotateSetup *setup)
{
    const Config *config = session->config;
    bool vault = source->token.kind == STORE_VAULT, cluster = source->token.kind == STORE_KUBERNETES;
    setup->interval = setup->wait_said ? setup->interval : refresh_of(config, source);
    setup->shared = vault || cluster;
    setup->kubernetes = config->kubernetes;
    setup->kubernetes.configured = cluster;
    setup->vault_token = vault ? setup->vault_token : (char *)"";
    setup->vault = config->vault;
    setup->revealed = longest_revealed(config, source);
    setup->command = setup->command ? setup->command : (char *)"";
    setup->state = session->state.path;
    setup->provider = source->provider;
    setup->probe = source->probe;
    setup->rotation = source->rotation;
    setup->keyring = config->keyring.path;
    setup->key_file = config->keyring.key_file;
    setup->passphrase = config->keyring.passphrase;
    setup->roots = roots;
    setup->proxy = config->site.proxy;
    setup->no_proxy = config->site.no_proxy;
    setup->n_no_proxy = config->site.n_no_proxy;
    setup->source.source = *source;
}

int rotate_hand_over(const char *file, const char *name, const KubernetesLogin *login, RotateSetup *setup)
{
    Session session;
    char roots[4096], vault_token[4096];
    Fault fault = {""};
    CLEANUP_FD int blob = -1;
    int status = session_open_as(file, login, &session);
    if (status >= 0)
        return status;
    int32_t index = config_find_source(session.config, name);
    const Source *source = index < 0 ? NULL : &session.config->source[index];
    if (!source) {
        log_error("There is no source %s in %s.", name, session.config->path);
        status = EXIT_USAGE;
    }
    status = status < 0 ? check_kept(source) : status;
    int r = status < 0 ? audit_files_make_key(&session.state, &fault) : -EINVAL;
    r = r ? r : find_roots(session.config, roots, sizeof(roots), &fault);
    r = r ? r : find_vault_token(source, setup, vault_token, sizeof(vault_token), &fault);
    if (r == 0 && source->token.kind == STORE_KUBERNETES)
        r = open_parts(&session.config->kubernetes, &fault);
    if (r == 0) {
        fill(&session, source, roots, setup);
        r = write_blob(setup, &blob, &fault);
    }
    if (r == 0)
        hand_over(&session, blob, &fault);
    if (status < 0) {
        log_error("%s", fault.text);
        status = EXIT_FAILED;
    }
    session_close(&session);
    return status;
}
