/* purser rotate: hands over to purser-rotate, a process of its own that holds the two tokens. What it has to
 * know of the configuration is told on a descriptor. */
#include "base/log.h"
#include "base/text.h"
#include "purser/command.h"
#include "supervisor/rotate-link.h"

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
    int ways = (given(invocation, "command") != NULL) + (given(invocation, "from-stdin") != NULL) +
               (given(invocation, "from-provider") != NULL);
    if (n > 1)
        log_error("Of --resume, --abort, --status and --dry-run only one can be said.");
    else if (ways && *ret_act != ROTATE_START && *ret_act != ROTATE_DRY_RUN)
        log_error("--command, --from-stdin and --from-provider give a new token; a rotation that is under "
                  "way has it "
                  "already.");
    else if (ways > 1)
        log_error("The new token comes from --command, from standard input or from the provider: from one of "
                  "them.");
    else
        return -1;
    return EXIT_USAGE;
}

/* One source, or --all. */
static int check_which(const Invocation *invocation, RotateAct act)
{
    bool all = given(invocation, "all");
    int others = (given(invocation, "vault-login") != NULL) + (given(invocation, "sink") != NULL);
    if (others && (others > 1 || all || invocation->n_argument))
        log_error("--vault-login and --sink are no sources: say one of them, or a source, or --all.");
    else if (!all && !others && invocation->n_argument == 0)
        log_error("Say which source, or --all.");
    else if (all && invocation->n_argument)
        log_error("--all is every source; %s need not be named.", invocation->argument[0]);
    else if (all && given(invocation, "from-stdin"))
        log_error("One standard input holds no several tokens: --all takes --command, which is told "
                  "$PURSER_SOURCE.");
    else if (all && act != ROTATE_START && act != ROTATE_DRY_RUN)
        log_error(
            "--all goes on by itself with what was left half way; --abort and --status are of one source.");
    else
        return -1;
    return EXIT_USAGE;
}

static int run(const Invocation *invocation)
{
    const char *wait = given(invocation, "wait"), *command = given(invocation, "command");
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)command};
    RotateSetup setup = {.wait_said = wait,
                         .json = given(invocation, "json"),
                         .from_stdin = given(invocation, "from-stdin"),
                         .from_provider = given(invocation, "from-provider"),
                         .approle = given(invocation, "vault-login"),
                         .database = given(invocation, "sink"),
                         .accept_loss = given(invocation, "accept-loss"),
                         .allow_wider = given(invocation, "allow-wider"),
                         .allow_other = given(invocation, "allow-other-identity"),
                         .argv = argv,
                         .n_argv = command ? COUNT_OF(argv) : 0,
                         .vault_token = (char *)given(invocation, "vault-token"),
                         .vault_auth = given(invocation, "vault-auth")};
    int status = choose_act(invocation, &setup.act);
    status = status < 0 ? check_which(invocation, setup.act) : status;
    if (status >= 0)
        return status;
    if (setup.vault_token && setup.vault_auth) {
        log_error("--vault-token and --vault-auth are two ways into Vault: say one of them.");
        return EXIT_USAGE;
    }
    if (wait && text_parse_duration(slice_of(wait), &setup.interval)) {
        log_error("--wait takes a time, as in 90s or 10m.");
        return EXIT_USAGE;
    }
    const char *age = given(invocation, "older-than");
    if (age && (text_parse_duration(slice_of(age), &setup.older_than) || !setup.older_than)) {
        log_error("--older-than takes a time, as in 30d.");
        return EXIT_USAGE;
    }
    KubernetesLogin login = {given(invocation, "kubeconfig"), given(invocation, "context")};
    if (!given(invocation, "all"))
        return rotate_hand_over(given(invocation, "file"), invocation->argument[0], &login, &setup);
    setup.tells = setup.goes_on = true;
    return rotate_all(given(invocation, "file"), &login, &setup);
}

const Command command_rotate = {
    .name = "rotate",
    .arguments = "SOURCE|--all|--vault-login|--sink",
    .summary = "Replace a source's token without a lost request",
    .help =
        "The new token is typed (not shown), read from standard input, or printed by a command; never an\n"
        "argument. It is put beside the old one, proven at the provider, made current; when every agent "
        "must\n"
        "have read it, the old one is retired (by the provider where it has a call for that, else by you) "
        "and\n"
        "tried until it is dead. Each step is on record in STATE/rotate/SOURCE.journal (and in a store that "
        "is\n"
        "shared) before it is taken. A rotation that was interrupted is gone on with by --resume, or undone "
        "by --abort, at any time; if\n"
        "neither of its tokens works any more, it says what to do.\n\n"
        "For tokens of the keyring, of files, of Vault's or OpenBao's KV, and of Kubernetes' Secrets (that "
        "and\n"
        "KV 2 are written with check-and-set, by a login of yours; agents can only read). The new one must "
        "belong\n"
        "to the old one's account and may do no more than it, where the provider tells.\n\n"
        "A source's `rotate:` in purser.yaml says which command prints its new tokens, and when `purser "
        "schedule`\n"
        "rotates by itself; the command is told the source as $PURSER_SOURCE. --all takes each source in "
        "turn,\n"
        "goes on with what was left half way, and one that fails does not stop the others.\n\n"
        "--vault-login is no source but purser's own login to Vault by AppRole: Vault makes a new secret id, "
        "it\n"
        "is proven by a login, and the old one is destroyed. --sink has Vault's database engine set another "
        "password:\n"
        "of the sink's static role; of a dynamic one, of its connection's root (--accept-loss).\n\n"
        "Examples:\n"
        "  purser rotate buildkite\n"
        "  pass show ci/buildkite-new | purser rotate buildkite --from-stdin\n"
        "  purser rotate gitlab --command 'vault kv get -field=token secret/new'\n"
        "  purser rotate --all --older-than 30d\n"
        "  purser rotate buildkite --dry-run\n"
        "  purser rotate buildkite --resume\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"from-stdin", 0, NULL, "the new token is on standard input"},
               {"command", 0, "COMMAND", "the new token is what this shell command prints"},
               {"from-provider", 0, NULL,
                "the provider makes the new token of the old one (GitLab), which dies with that"},
               {"accept-loss", 0, NULL, "though both tokens may be lost then: it says how before"},
               {"all", 0, NULL, "every source, one after the other"},
               {"resume", 0, NULL, "go on with a rotation that was interrupted"},
               {"abort", 0, NULL, "go back to the old token, where it still works"},
               {"status", 0, NULL, "how the source's rotation stands"},
               {"dry-run", 'n', NULL, "say each step, and try store and provider without changing anything"},
               {"older-than", 0, "TIME", "only if the token is older than this, as its store tells: 30d"},
               {"wait", 0, "TIME", "wait this long for agents, instead of what purser knows of them"},
               {"allow-wider", 0, NULL, "the new token may do more than the old one"},
               {"allow-other-identity", 0, NULL, "the new token may belong to another account"},
               {"vault-token", 0, "FILE",
                "Vault: a token that may write the secret (default: ~/.vault-token)"},
               {"vault-auth", 0, NULL,
                "Vault: log in as purser.yaml's vault.auth says (kubernetes, jwt): a Job's own role"},
               {"sink", 0, NULL, "instead of a source: the sink's password, by Vault's database engine"},
               {"vault-login", 0, NULL, "instead of a source: the secret id of purser's own AppRole login"},
               {"kubeconfig", 0, "FILE",
                "Kubernetes: a login that may write the Secret (default: purser.yaml's)"},
               {"context", 0, "NAME", "of the kubeconfig"},
               {"json", 0, NULL, "an object a line, for scripts"}},
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
