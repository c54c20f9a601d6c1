/* purser rotate: hands over to purser-rotate, a process of its own that holds the two tokens. What it has to
 * know of the configuration is told on a descriptor. */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "ipc/rotate.h"
#include "purser/audit-files.h"
#include "purser/command.h"
#include "purser/keeper-link.h"
#include "purser/session.h"
#include "store/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

static const char *given(const Invocation *invocation, const char *name)
{
    return command_option(&command_rotate, invocation, name);
}

/* Of these one, or none. */
static int choose_act(const Invocation *invocation, RotateAct *ret_act)
{
    static const struct {
        const char *name;
        RotateAct act;
    } acts[] = {{"resume", ROTATE_RESUME},
                {"abort", ROTATE_ABORT},
                {"status", ROTATE_STATUS},
                {"dry-run", ROTATE_DRY_RUN}};
    unsigned n = 0;
    *ret_act = ROTATE_START;
    for (size_t i = 0; i < COUNT_OF(acts); i++)
        if (given(invocation, acts[i].name)) {
            *ret_act = acts[i].act;
            n++;
        }
    bool gets = given(invocation, "command") || given(invocation, "from-stdin");
    if (n > 1)
        log_error("Of --resume, --abort, --status and --dry-run only one can be said.");
    else if (gets && *ret_act != ROTATE_START && *ret_act != ROTATE_DRY_RUN)
        log_error(
            "--command and --from-stdin give a new token; a rotation that is under way has it already.");
    else if (given(invocation, "command") && given(invocation, "from-stdin"))
        log_error("The new token comes either from --command or from standard input.");
    else
        return -1;
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
    case STORE_KUBERNETES:
        log_error("%s: purser rotates tokens of the keyring and of files. Put the new one of this source "
                  "into %s by "
                  "hand (%s), wait for `refresh`, and delete the old one at its provider.",
                  source->name, token->kind == STORE_VAULT ? "Vault" : "its Secret", token->name);
        return EXIT_USAGE;
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

static int fill(const Session *session, const Invocation *invocation, const Source *source,
                RotateSetup *setup, char *roots, size_t size)
{
    const Config *config = session->config;
    const char *wait = given(invocation, "wait");
    Fault fault;
    setup->interval = PLAN_LOCAL_REFRESH;
    if (wait && text_parse_duration(slice_of(wait), &setup->interval)) {
        log_error("--wait takes a time, as in 90s or 10m.");
        return EXIT_USAGE;
    }
    if (audit_files_make_key(&session->state, &fault) || find_roots(config, roots, size, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    const char *command = given(invocation, "command");
    setup->wait_said = wait;
    setup->revealed = longest_revealed(config, source);
    setup->json = given(invocation, "json");
    setup->from_stdin = given(invocation, "from-stdin");
    setup->allow_wider = given(invocation, "allow-wider");
    setup->allow_other = given(invocation, "allow-other-identity");
    setup->command = (char *)(command ? command : "");
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
    return -1;
}

static int run(const Invocation *invocation)
{
    Session session;
    RotateSetup setup = {0};
    char roots[4096];
    Fault fault = {""};
    CLEANUP_FD int blob = -1;
    int status = choose_act(invocation, &setup.act);
    if (status < 0)
        status = session_open(given(invocation, "file"), &session);
    if (status >= 0)
        return status;
    int32_t index = config_find_source(session.config, invocation->argument[0]);
    const Source *source = index < 0 ? NULL : &session.config->source[index];
    if (!source) {
        log_error("There is no source %s in %s.", invocation->argument[0], session.config->path);
        status = EXIT_USAGE;
    }
    status = status < 0 ? check_kept(source) : status;
    status = status < 0 ? fill(&session, invocation, source, &setup, roots, sizeof(roots)) : status;
    if (status < 0 && write_blob(&setup, &blob, &fault) == 0)
        hand_over(&session, blob, &fault);
    if (status < 0) {
        log_error("%s", fault.text);
        status = EXIT_FAILED;
    }
    session_close(&session);
    return status;
}

const Command command_rotate = {
    .name = "rotate",
    .arguments = "SOURCE",
    .summary = "Replace a source's token without a lost request",
    .help =
        "The new token is typed (not shown), read from standard input, or printed by a command; never an\n"
        "argument. It is put beside the old one, proven at the provider, made current; when every agent "
        "must\n"
        "have read it, the old one is retired (by the provider where it has a call for that, else by you) "
        "and\n"
        "tried until it is dead. Each step is on record in STATE/rotate/SOURCE.journal before it is taken. "
        "A\n"
        "rotation that was interrupted is gone on with by --resume, or undone by --abort, at any time; if\n"
        "neither of its tokens works any more, it says what to do.\n\n"
        "For tokens of the keyring and of files. The new one must belong to the old one's account and may "
        "do\n"
        "no more than it, where the provider tells.\n\n"
        "Examples:\n"
        "  purser rotate buildkite\n"
        "  pass show ci/buildkite-new | purser rotate buildkite --from-stdin\n"
        "  purser rotate gitlab --command 'vault kv get -field=token secret/new'\n"
        "  purser rotate buildkite --dry-run\n"
        "  purser rotate buildkite --resume\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"from-stdin", 0, NULL, "the new token is on standard input"},
               {"command", 0, "COMMAND", "the new token is what this shell command prints"},
               {"resume", 0, NULL, "go on with a rotation that was interrupted"},
               {"abort", 0, NULL, "go back to the old token, where it still works"},
               {"status", 0, NULL, "how the source's rotation stands"},
               {"dry-run", 'n', NULL, "say each step, and try store and provider without changing anything"},
               {"wait", 0, "TIME", "wait this long for agents, instead of what purser knows of them"},
               {"allow-wider", 0, NULL, "the new token may do more than the old one"},
               {"allow-other-identity", 0, NULL, "the new token may belong to another account"},
               {"json", 0, NULL, "an object a line, for scripts"}},
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
