/* Parsing a subcommand's options by its table, and its --help. See command.h. */
#include "purser/command.h"

#include <stdio.h>

static int find_long(const Command *command, Slice name)
{
    for (int i = 0; i < OPTION_MAX && command->option[i].name; i++)
        if (slice_is(name, command->option[i].name))
            return i;
    return -1;
}

static int find_letter(const Command *command, char letter)
{
    for (int i = 0; i < OPTION_MAX && command->option[i].name; i++)
        if (command->option[i].letter == letter)
            return i;
    return -1;
}

static int usage_error(const Command *command, const char *what, const char *which)
{
    fprintf(stderr, "purser %s: %s %s\nRun `purser %s --help` for what it takes.\n", command->name, what,
            which, command->name);
    return EXIT_USAGE;
}

/* One option at argv[*at]; moves past its argument. */
static int parse_option(const Command *command, int argc, char **argv, int *at, Invocation *invocation)
{
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    Slice name, inline_value;
    bool has_inline = slice_cut(slice_of(word + 2), '=', &name, &inline_value) && is_long;
    int i = is_long ? find_long(command, name) : word[2] ? -1 : find_letter(command, word[1]);
    if (i < 0)
        return usage_error(command, "unknown option", word);
    if (!command->option[i].argument) {
        if (has_inline)
            return usage_error(command, "takes no value:", word);
        invocation->value[i] = "";
        return -1;
    }
    if (has_inline)
        invocation->value[i] = inline_value.ptr;
    else if (*at + 1 < argc)
        invocation->value[i] = argv[++*at];
    else
        return usage_error(command, "a value is missing after", word);
    return -1;
}

int command_parse(const Command *command, int argc, char **argv, Invocation *ret_invocation)
{
    Invocation invocation = {.argument = argv};
    bool only_arguments = false;
    for (int at = 0; at < argc; at++) {
        const char *word = argv[at];
        if (!only_arguments && strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            command_print_help(command);
            return EXIT_OK;
        } else if (!only_arguments && word[0] == '-' && word[1]) {
            int r = parse_option(command, argc, argv, &at, &invocation);
            if (r >= 0)
                return r;
        } else {
            argv[invocation.n_argument++] = argv[at];
        }
    }
    if (invocation.n_argument < command->min_arguments)
        return usage_error(command, "needs", command->arguments);
    if (command->max_arguments >= 0 && invocation.n_argument > command->max_arguments)
        return usage_error(command, "does not take", argv[command->max_arguments]);
    *ret_invocation = invocation;
    return -1;
}

const char *command_option(const Command *command, const Invocation *invocation, const char *name)
{
    int i = find_long(command, slice_of(name));
    return i < 0 ? NULL : invocation->value[i];
}

void command_print_help(const Command *command)
{
    printf("%s.\n\nUsage:\n  purser %s%s%s%s\n", command->summary, command->name,
           command->option[0].name ? " [OPTION...]" : "", *command->arguments ? " " : "", command->arguments);
    if (command->option[0].name)
        printf("\nOptions:\n");
    for (int i = 0; i < OPTION_MAX && command->option[i].name; i++) {
        const Option *option = &command->option[i];
        char left[48];
        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
                 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
        printf("  %-26s %s\n", left, option->help);
    }
    if (command->help)
        printf("\n%s", command->help);
}
