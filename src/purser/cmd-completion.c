/* purser completion bash: the commands and their options, from the same tables as --help. */
#include "base/log.h"
#include "purser/command.h"

#include <stdio.h>

static int run(const Invocation *invocation)
{
    if (strcmp(invocation->argument[0], "bash") != 0) {
        log_error("There is completion for bash only, not for %s.", invocation->argument[0]);
        return EXIT_USAGE;
    }
    printf("_purser() {\n    local word=${COMP_WORDS[COMP_CWORD]} words\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < n_commands; i++) {
        printf("    %s) words=\"--help", commands[i]->name);
        for (int k = 0; k < OPTION_MAX && commands[i]->option[k].name; k++)
            printf(" --%s", commands[i]->option[k].name);
        printf("\" ;;\n");
    }
    printf("    *) words=\"--help --version");
    for (size_t i = 0; i < n_commands; i++)
        printf(" %s", commands[i]->name);
    printf("\" ;;\n    esac\n    [ \"$COMP_CWORD\" -gt 1 ] || words=\"--help --version");
    for (size_t i = 0; i < n_commands; i++)
        printf(" %s", commands[i]->name);
    printf("\"\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -f -- \"$word\")\n}\ncomplete -F _purser "
           "purser\n");
    return EXIT_OK;
}

const Command command_completion = {
    .name = "completion",
    .arguments = "bash",
    .summary = "Print the shell's completion script",
    .help = "Example:\n  source <(purser completion bash)\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
