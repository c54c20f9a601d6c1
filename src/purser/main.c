/* purser: the table of subcommands. */
#include "base/log.h"
#include "purser/command.h"

#include <sodium.h>
#include <stdio.h>

const Command *const commands[] = {
    &command_run,    &command_schedule, &command_status,     &command_check,  &command_token,
    &command_ingest, &command_policy,   &command_doctor,     &command_audit,  &command_prune,
    &command_schema, &command_lease,    &command_rotate,     &command_revoke, &command_init,
    &command_agent,  &command_ready,    &command_completion, &command_man,
};
const size_t n_commands = COUNT_OF(commands);

static void print_help(void)
{
    printf("purser runs the programs that collect CI metrics without giving them the API tokens.\n\n"
           "Usage:\n  purser COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n");
    for (size_t i = 0; i < n_commands; i++)
        printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nFirst steps:\n"
           "  purser token set github < token.txt   put a token into the keyring\n"
           "  purser check                          configuration, tokens, policies, database\n"
           "  purser run                            run every retriever of ./purser.yaml once\n\n"
           "Exit status: 0 done; 1 something that was asked for failed; 2 usage; 3 configuration;\n"
           "4 the database; 5 a token or its store.\n\n"
           "`purser COMMAND --help` has each command's options and examples.\n");
}

static const Command *find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int dispatch(int argc, char **argv)
{
    Invocation invocation;
    if (argc < 2) {
        print_help();
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        printf("purser %s\n", PURSER_VERSION);
        return EXIT_OK;
    }
    bool asks_help = strcmp(word, "help") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (asks_help && argc == 2)) {
        print_help();
        return EXIT_OK;
    }
    const Command *command = find(asks_help ? argv[2] : word);
    if (!command) {
        fprintf(stderr, "purser: there is no command %s; `purser --help` lists them.\n",
                asks_help ? argv[2] : word);
        return EXIT_USAGE;
    }
    if (asks_help) {
        command_print_help(command);
        return EXIT_OK;
    }
    if (sodium_init() < 0) {
        log_error("libsodium cannot be initialised.");
        return EXIT_FAILED;
    }
    if (command->passes_options) {
        invocation = (Invocation){.n_argument = argc - 2, .argument = argv + 2};
        return command->run(&invocation);
    }
    int r = command_parse(command, argc - 2, argv + 2, &invocation);
    return r >= 0 ? r : command->run(&invocation);
}

/* What did not get out (a disk that is full) is not done. */
int main(int argc, char **argv)
{
    log_open("purser", LOG_INFO);
    int status = dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    log_error("Standard output cannot be written.");
    return status == EXIT_OK ? EXIT_FAILED : status;
}
