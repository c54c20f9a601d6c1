/* purser-token: the process of `purser token ...`, the only one that takes tokens from a person. It talks to
 * the terminal and to the keyring's files, to nothing else, and ends. Exit status: 0, 1 failure (a sentence
 * on standard error), 2 usage.
 */
#include "base/log.h"
#include "base/mem.h"
#include "secret/secret.h"
#include "token/commands.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define ARENA_BYTES (160u << 10) /* a token as it is typed, and one message of the keyring */

typedef struct Command {
    const char *name, *help;
    int (*run)(const TokenOptions *options, Fault *fault);
    bool takes_name, takes_path;
} Command;

static const Command command[] = {
    {"set", "set NAME       put a token into the keyring, or replace it", token_set, true, true},
    {"list", "list           names, hosts, age and length; never the token", token_list, false, true},
    {"remove", "remove NAME    take a token out", token_remove, true, true},
    {"rekey", "rekey          another key file or passphrase for the keyring", token_rekey, false, true},
    {"mend-key", NULL, token_mend_key, false, true},
    {"ask-passphrase", NULL, token_ask_passphrase, false, false},
};

static void print_help(void)
{
    puts("Usage: purser token COMMAND [OPTION...]\n\nCommands:");
    for (size_t i = 0; i < COUNT_OF(command); i++)
        if (command[i].help)
            printf("  %s\n", command[i].help);
    printf(
        "\nOptions:\n"
        "  --host HOST       (set) a host that the token may be sent to; repeat for more. Replacing a token\n"
        "                    without --host keeps its hosts\n"
        "  --json            (list) for scripts\n"
        "  --path FILE       the keyring\n"
        "  --key-file FILE   its key: 32 bytes, made by the first `set`;\n"
        "                    $CREDENTIALS_DIRECTORY/purser-keyring-key comes before it\n"
        "  --passphrase      ask for a passphrase instead of using a key file\n"
        "\nThe token is asked for on the terminal, without showing it, or taken from standard input; one "
        "newline\n"
        "at its end is taken off, and it has %u to %u bytes. Never give it on the command line.\n"
        "\nExamples:\n"
        "  purser token set github --host api.github.com\n"
        "  pass show ci/buildkite | purser token set buildkite\n"
        "  purser token list --json\n"
        "  purser token remove github\n"
        "  purser token rekey\n",
        SECRET_MIN_TOKEN, SECRET_MAX_TOKEN);
}

/* No core dump, no debugger of the same user, before the first byte of a secret is here. */
static int harden(Fault *fault)
{
    struct rlimit none = {0};
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return fault_set(fault, -1, "core dumps cannot be switched off");
    signal(SIGPIPE, SIG_IGN);
    int r = secret_init(ARENA_BYTES, fault);
    if (r == 0 && !secret_protection().locked)
        log_warning(
            "whether the memory for secrets is kept from swapping cannot be verified (is /proc mounted?)");
    return r;
}

static int usage(const Fault *fault)
{
    log_error("%s", fault->text);
    return 2;
}

static int run(const Command *which, const TokenOptions *options)
{
    Fault fault = {""};
    int r = harden(&fault);
    if (r == 0)
        r = which->run(options, &fault);
    secret_wipe_traces();
    secret_done();
    if (r == 0 && fflush(stdout) != 0)
        r = fault_set(&fault, -1, "standard output cannot be written");
    if (r)
        log_error("%s", fault.text);
    return r ? 1 : 0;
}

int main(int argc, char **argv)
{
    Fault fault = {""};
    log_open("purser-token", LOG_INFO);
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(command); i++) {
        TokenOptions options;
        if (strcmp(name, command[i].name) != 0)
            continue;
        if (token_options_parse(argc - 1, argv + 1, command[i].takes_name, &options, &fault))
            return usage(&fault);
        if (options.help) {
            print_help();
            return 0;
        }
        if (command[i].takes_path && !options.path) {
            fault_set(&fault, -1, "--path KEYRING is missing; `purser token` gives it from purser.yaml");
            return usage(&fault);
        }
        return run(&command[i], &options);
    }
    fault_set(&fault, -1,
              "a command is missing or unknown: set NAME, list, remove NAME or rekey; see --help");
    return usage(&fault);
}
