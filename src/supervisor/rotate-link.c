/* Handing over to purser-rotate. See rotate-link.h. */
#include "supervisor/rotate-link.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/plan.h"
#include "supervisor/audit-files.h"
#include "supervisor/exit-status.h"
#include "supervisor/keeper-link.h"
#include "supervisor/kubeconfig.h"
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

const TokenRef *rotate_kept(const Source *source)
{
    return source->token.kind == STORE_GITHUB_APP ? &source->token.mint->secret : &source->token;
}

/* Which engine it is in, Vault itself is asked; in KV 2 by its path. */
static int check_vault(const Source *source)
{
    const TokenRef *token = rotate_kept(source);
    const char *what = !token->key[0]   ? "say which `key:` of the secret the token is"
                       : token->version ? "a pinned `version:` never changes"
                                        : NULL;
    if (!what)
        return -1;
    log_error("%s: its token is in Vault at %s; %s.", source->name, token->name, what);
    return EXIT_USAGE;
}

static int check_secret(const Source *source)
{
    const TokenRef *token = rotate_kept(source);
    if (token->key[0])
        return -1;
    log_error("%s: its token is in the Secret %s; say which `key:` of it.", source->name, token->name);
    return EXIT_USAGE;
}

/* What purser can rotate: where the token is kept as text that a person put there. */
static int check_kept(const Source *source)
{
    switch (rotate_kept(source)->kind) {
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
    if (source->token.mint) /* what was minted lives on */
        return 0;
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

static bool asks_vault(const Source *source, const RotateSetup *setup)
{
    return setup->approle || rotate_kept(source)->kind == STORE_VAULT;
}

/* --vault-auth: what a pod's service account, or a platform's JWT, can log in with. */
static int check_vault_auth(const Config *config, const Source *source, const RotateSetup *setup)
{
    const VaultConfig *vault = &config->vault;
    bool by_jwt = vault->login == VAULT_LOGIN_KUBERNETES || vault->login == VAULT_LOGIN_JWT;
    if (!setup->vault_auth || !asks_vault(source, setup) || (by_jwt && vault->secret.kind == STORE_FILE))
        return -1;
    log_error("--vault-auth logs in to Vault by `kubernetes` or `jwt`, with a JWT of a file, and %s has no "
              "such `auth:`; say --vault-token FILE.",
              config->path);
    return EXIT_USAGE;
}

/* Where `vault login` and `bao login` put it. */
static int find_vault_token(const Source *source, RotateSetup *setup, char *path, size_t size, Fault *fault)
{
    const char *home = getenv("HOME");
    if (!asks_vault(source, setup) || setup->vault_token || setup->vault_auth)
        return 0;
    if (!home || home[0] != '/')
        return fault_set(fault, -ENOENT,
                         "Say --vault-token FILE: a token that may write the secret; or --vault-auth, for a "
                         "role of its own.");
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
    return source->token.mint                       ? 0 /* whoever mints reads it first */
           : source->token.kind == STORE_VAULT      ? config->vault.life.refresh
           : source->token.kind == STORE_KUBERNETES ? config->kubernetes.life.refresh
                                                    : PLAN_LOCAL_REFRESH;
}

bool rotate_has_origin(const Source *source, const RotateSetup *said)
{
    return said->n_argv || said->from_stdin || said->from_provider || source->plan.n_command ||
           source->plan.from_provider;
}

/* An App tells of itself, and has no call that deletes a key
 * (https://docs.github.com/en/apps/creating-github-apps/
 * authenticating-with-a-github-app/managing-private-keys-for-github-apps). */
static void fill_app(const Source *source, RotateSetup *setup)
{
    static char none[] = "";
    setup->minted = source->token;
    setup->provider = (char *)"the GitHub App";
    setup->rotation =
        (Rotation){(char *)"/app", (char *)"id", none, none, none, none, none, none, none, none, false};
}

/* What the command line did not say, the configuration may. */
static void fill(const Session *session, const Source *source, char *roots, RotateSetup *setup)
{
    const Config *config = session->config;
    StoreKind kind = rotate_kept(source)->kind;
    bool vault = asks_vault(source, setup), cluster = kind == STORE_KUBERNETES;
    bool gets = setup->act == ROTATE_START || setup->act == ROTATE_DRY_RUN;
    const RotatePlan *plan = &source->plan;
    if (gets && !setup->n_argv && !setup->from_stdin && !setup->from_provider) {
        setup->argv = plan->command;
        setup->n_argv = plan->n_command;
        setup->from_provider = plan->from_provider;
    }
    setup->accept_loss |= plan->accept_loss;
    setup->life = plan->life;
    /* A login reads its secret each time, and what it was given for it stays good. */
    setup->interval = setup->wait_said ? setup->interval : setup->approle ? 0 : refresh_of(config, source);
    setup->shared = (kind == STORE_VAULT || cluster) && !setup->database;
    setup->kubernetes = config->kubernetes;
    setup->kubernetes.configured = cluster;
    setup->vault_auth &= vault;
    setup->vault_token = vault && !setup->vault_auth ? setup->vault_token : (char *)"";
    setup->vault = config->vault;
    setup->vault.configured = vault;
    setup->revealed = longest_revealed(config, source);
    setup->state = session->state.path;
    setup->audit_key = session->config->audit_key_file;
    setup->sandbox_optional = config->sandbox_optional;
    setup->provider = source->provider;
    setup->probe = source->probe;
    setup->rotation = source->rotation;
    if (plan->path[0])
        setup->rotation.renew = plan->path;
    setup->keyring = config->keyring.path;
    setup->key_file = config->keyring.key_file;
    setup->passphrase = config->keyring.passphrase;
    setup->roots = roots;
    setup->proxy = config->site.proxy;
    setup->no_proxy = config->site.no_proxy;
    setup->n_no_proxy = config->site.n_no_proxy;
    setup->source.source = *source;
    setup->source.source.token = *rotate_kept(source);
    setup->app = source->token.kind == STORE_GITHUB_APP;
    if (setup->app)
        fill_app(source, setup);
}

/* All that purser-rotate is told; what it inherits is open afterwards. An exit status after saying why, or
 * -1. */
static int prepare(const Session *session, const Source *source, const RotateSetup *said, int *ret_blob)
{
    char roots[4096], vault_token[4096];
    RotateSetup setup = *said;
    Fault fault = {""};
    int status = setup.database ? -1 : check_kept(source);
    status = status < 0 ? check_vault_auth(session->config, source, &setup) : status;
    if (status >= 0)
        return status;
    if (!setup.vault_token && !setup.vault_auth && source->plan.vault_token[0])
        setup.vault_token = source->plan.vault_token;
    int r = audit_files_make_key(&session->state, &fault);
    r = r ? r : find_roots(session->config, roots, sizeof(roots), &fault);
    r = r ? r : find_vault_token(source, &setup, vault_token, sizeof(vault_token), &fault);
    if (r == 0 && rotate_kept(source)->kind == STORE_KUBERNETES)
        r = open_parts(&session->config->kubernetes, &fault);
    if (r == 0) {
        fill(session, source, roots, &setup);
        r = write_blob(&setup, ret_blob, &fault);
    }
    if (r)
        log_error("%s", fault.text);
    return r ? EXIT_FAILED : -1;
}

static const Source *find_source(const Session *session, const char *name)
{
    int32_t index = config_find_source(session->config, name);
    if (index < 0)
        log_error("There is no source %s in %s.", name, session->config->path);
    return index < 0 ? NULL : &session->config->source[index];
}

/* What is no source. Its name is one that no source can have, and what a person says for it. */
static void make_source(const Session *session, const char *name, TokenRef token, Source *source)
{
    static char none[] = "", provider[] = "Vault";
    *source = (Source){.name = (char *)name,
                       .provider = provider,
                       .probe = none,
                       .api = session->config->vault.origin,
                       .token = token};
    source->plan = (RotatePlan){.schedule = none, .time_zone = none, .path = none, .vault_token = none};
}

/* Purser's own login. */
static const Source *find_login(const Session *session, Source *source)
{
    const VaultConfig *vault = &session->config->vault;
    const char *what = vault->login != VAULT_LOGIN_APPROLE ? "does not log in to Vault by AppRole"
                       : vault->wrapped ? "is given its secret id wrapped, by who makes a new one each time"
                                        : NULL;
    if (what) {
        log_error("Purser %s, as %s has it.", what, session->config->path);
        return NULL;
    }
    make_source(session, "--vault-login", vault->secret, source);
    return source;
}

/* The sink's credential. */
static const Source *find_sink(const Session *session, Source *source)
{
    const Sink *sink = &session->config->sink;
    if (sink->kind != SINK_POSTGRES || sink->credential.kind != STORE_VAULT) {
        log_error("The sink's credential is not made by Vault's database engine, as %s has it: replace it "
                  "where it is kept.",
                  session->config->path);
        return NULL;
    }
    make_source(session, "--sink", sink->credential, source);
    return source;
}

int rotate_hand_over(const char *file, const char *name, const KubernetesLogin *login,
                     const RotateSetup *said)
{
    Session session;
    Fault fault = {""};
    CLEANUP_FD int blob = -1;
    int status = session_open_as(file, login, &session);
    if (status >= 0)
        return status;
    Source made;
    const Source *source = said->approle    ? find_login(&session, &made)
                           : said->database ? find_sink(&session, &made)
                                            : find_source(&session, name);
    status = source ? prepare(&session, source, said, &blob) : EXIT_USAGE;
    if (status < 0) {
        hand_over(&session, blob, &fault);
        log_error("%s", fault.text);
        status = EXIT_FAILED;
    }
    session_close(&session);
    return status;
}

/* In a child: what it inherits is its own, and the supervisor's configuration stays as it was. */
static NORETURN void become_rotation(const Session *session, const Source *source, const RotateSetup *said,
                                     int result)
{
    Fault fault = {""};
    int blob = -1, null = said->unattended ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (said->unattended && (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0))
        _exit(126);
    if (prepare(session, source, said, &blob) >= 0)
        _exit(EXIT_FAILED);
    blob = fcntl(blob, F_DUPFD_CLOEXEC, 64);
    if (said->tells &&
        ((result = fcntl(result, F_DUPFD_CLOEXEC, 64)) < 0 || dup2(result, ROTATE_RESULT_FD) < 0))
        _exit(126);
    hand_over(session, blob, &fault);
    log_error("%s", fault.text);
    _exit(127);
}

int rotate_start(const Session *session, const Source *source, const RotateSetup *said,
                 RotateChild *ret_child, Fault *fault)
{
    int ends[2] = {-1, -1};
    if (said->tells && pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return fault_set(fault, -errno, "No pipe: %s.", strerror(errno));
    pid_t pid = process_fork();
    if (pid == 0)
        become_rotation(session, source, said, ends[1]);
    int error = errno;
    fd_close(&ends[1]);
    if (pid < 0) {
        fd_close(&ends[0]);
        return fault_set(fault, -error, "purser-rotate cannot be started: %s.", strerror(error));
    }
    *ret_child = (RotateChild){pid, ends[0]};
    return 0;
}

void rotate_result(RotateChild *child, RotateResult *ret_result)
{
    char text[sizeof(ret_result->word) + sizeof(ret_result->sentence)];
    RotateResult result = {"failed", "it ended without a result; its own lines above say why"};
    ssize_t n = child->result_fd < 0 ? 0 : read(child->result_fd, text, sizeof(text));
    Slice line, rest, word, sentence;
    fd_close(&child->result_fd);
    if (n > 0 && slice_cut((Slice){text, (size_t)n}, '\n', &line, &rest) &&
        slice_cut(line, ' ', &word, &sentence) && word.len < sizeof(result.word) &&
        sentence.len < sizeof(result.sentence)) {
        snprintf(result.word, sizeof(result.word), "%.*s", (int)word.len, word.ptr);
        snprintf(result.sentence, sizeof(result.sentence), "%.*s", (int)sentence.len, sentence.ptr);
    }
    *ret_result = result;
}
