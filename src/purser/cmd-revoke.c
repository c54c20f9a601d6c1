/* purser revoke: for the bad day. purser-rotate does it. */
#include "base/log.h"
#include "purser/command.h"
#include "supervisor/rotate-link.h"

static int run(const Invocation *invocation)
{
    KubernetesLogin login = {command_option(&command_revoke, invocation, "kubeconfig"),
                             command_option(&command_revoke, invocation, "context")};
    RotateSetup setup = {.act = ROTATE_REVOKE,
                         .json = command_option(&command_revoke, invocation, "json"),
                         .approle = command_option(&command_revoke, invocation, "vault-login"),
                         .vault_token = (char *)command_option(&command_revoke, invocation, "vault-token")};
    if (setup.approle == (invocation->n_argument == 1)) {
        log_error("Say which source, or --vault-login.");
        return EXIT_USAGE;
    }
    return rotate_hand_over(command_option(&command_revoke, invocation, "file"), invocation->argument[0],
                            &login, &setup);
}

const Command command_revoke = {
    .name = "revoke",
    .arguments = "SOURCE|--vault-login",
    .summary = "The bad day: give a token out no more, and have it retired",
    .help =
        "Takes the source's token out of the keyring, of Vault's KV or of its Secret, or its file away, and "
        "puts\n"
        "a mark in its place, so that it is given out no more; then has the provider retire it (or asks you "
        "to\n"
        "delete it there), and tries it until it is dead. Both tokens of a rotation that is under way go.\n"
        "Requests with it are refused from then on: by the provider at once, by the purser that runs here "
        "at\n"
        "once, by others within a minute (Vault, Kubernetes: `refresh`, or a second). Said again after an\n"
        "interruption, or after you have deleted the token, it goes on where it was. Each step is on record\n"
        "first, in STATE/rotate/SOURCE.journal. To replace a token without a lost request there is\n"
        "`purser rotate`.\n\n"
        "Examples:\n"
        "  purser revoke buildkite\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"vault-token", 0, "FILE",
                "Vault: a token that may write the secret (default: ~/.vault-token)"},
               {"vault-login", 0, NULL, "instead of a source: the secret id of purser's own AppRole login"},
               {"kubeconfig", 0, "FILE",
                "Kubernetes: a login that may write the Secret (default: purser.yaml's)"},
               {"context", 0, "NAME", "of the kubeconfig"},
               {"json", 0, NULL, "an object a line, for scripts"}},
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
