/* purser rotate: hands over to purser-rotate, a process of its own that holds the two tokens. What it has to
 * know of the configuration is told on a descriptor. */
#include "base/log.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/rotate-link.h"

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

static int run(const Invocation *invocation)
{
    const char *wait = given(invocation, "wait"), *command = given(invocation, "command");
    RotateSetup setup = {.wait_said = wait,
                         .json = given(invocation, "json"),
                         .from_stdin = given(invocation, "from-stdin"),
                         .allow_wider = given(invocation, "allow-wider"),
                         .allow_other = given(invocation, "allow-other-identity"),
                         .command = (char *)command,
                         .vault_token = (char *)given(invocation, "vault-token")};
    int status = choose_act(invocation, &setup.act);
    if (status >= 0)
        return status;
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
    return rotate_hand_over(given(invocation, "file"), invocation->argument[0], &login, &setup);
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
        "tried until it is dead. Each step is on record in STATE/rotate/SOURCE.journal (and in a store that "
        "is\n"
        "shared) before it is taken. A rotation that was interrupted is gone on with by --resume, or undone "
        "by --abort, at any time; if\n"
        "neither of its tokens works any more, it says what to do.\n\n"
        "For tokens of the keyring, of files, of Vault's or OpenBao's KV 2, and of Kubernetes' Secrets "
        "(these\n"
        "two written with check-and-set, by a login of yours; agents can only read). The new one must "
        "belong\n"
        "to the old one's account and may do no more than it, where the provider tells.\n\n"
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
               {"older-than", 0, "TIME", "only if the token is older than this, as its store tells: 30d"},
               {"wait", 0, "TIME", "wait this long for agents, instead of what purser knows of them"},
               {"allow-wider", 0, NULL, "the new token may do more than the old one"},
               {"allow-other-identity", 0, NULL, "the new token may belong to another account"},
               {"vault-token", 0, "FILE",
                "Vault: a token that may write the secret (default: ~/.vault-token)"},
               {"kubeconfig", 0, "FILE",
                "Kubernetes: a login that may write the Secret (default: purser.yaml's)"},
               {"context", 0, "NAME", "of the kubeconfig"},
               {"json", 0, NULL, "an object a line, for scripts"}},
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
