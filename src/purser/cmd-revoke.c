/* purser revoke: for the bad day. purser-rotate does it. */
#include "purser/command.h"
#include "purser/rotate-link.h"

static int run(const Invocation *invocation)
{
    KubernetesLogin login = {command_option(&command_revoke, invocation, "kubeconfig"),
                             command_option(&command_revoke, invocation, "context")};
    RotateSetup setup = {.act = ROTATE_REVOKE,
                         .json = command_option(&command_revoke, invocation, "json"),
                         .vault_token = (char *)command_option(&command_revoke, invocation, "vault-token")};
    return rotate_hand_over(command_option(&command_revoke, invocation, "file"), invocation->argument[0],
                            &login, &setup);
}

const Command command_revoke = {
    .name = "revoke",
    .arguments = "SOURCE",
    .summary = "The bad day: give a token out no more, and have it retired",
    .help =
        "Takes the source's token out of the keyring, of Vault's KV 2 or of its Secret, or its file away, so "
        "that it is "
        "given\n"
        "out no more; then has the provider retire it (or asks you to delete it there), and tries it until "
        "it\n"
        "is dead. Both tokens of a rotation that is under way go. Requests with it are refused from then "
        "on:\n"
        "by the provider at once, by purser within a minute (Vault, Kubernetes: `refresh`, or a second). "
        "Said again after "
        "an\n"
        "interruption, or after you have deleted the token, it goes on where it was. Each step is on record\n"
        "first, in STATE/rotate/SOURCE.journal. To replace a token without a lost request there is\n"
        "`purser rotate`.\n\n"
        "Examples:\n"
        "  purser revoke buildkite\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
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
