/* purser revoke: for the bad day. purser-rotate does it. */
#include "purser/command.h"
#include "purser/rotate-link.h"

static int run(const Invocation *invocation)
{
    RotateSetup setup = {.act = ROTATE_REVOKE, .json = command_option(&command_revoke, invocation, "json")};
    return rotate_hand_over(command_option(&command_revoke, invocation, "file"), invocation->argument[0],
                            &setup);
}

const Command command_revoke = {
    .name = "revoke",
    .arguments = "SOURCE",
    .summary = "The bad day: give a token out no more, and have it retired",
    .help = "Takes the source's token out of the keyring, or its file away, so that it is given out no more; "
            "then has\n"
            "the provider retire it (or asks you to delete it there), and tries it until it is dead. Both "
            "tokens of a\n"
            "rotation that is under way go. Requests with it are refused from then on: by the provider at "
            "once, by\n"
            "purser within a minute. Said again after an interruption, or after you have deleted the token, "
            "it goes on\n"
            "where it was. Each step is on record first, in STATE/rotate/SOURCE.journal. To replace a token "
            "without a\n"
            "lost request there is `purser rotate`.\n\n"
            "Examples:\n"
            "  purser revoke buildkite\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"json", 0, NULL, "an object a line, for scripts"}},
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
