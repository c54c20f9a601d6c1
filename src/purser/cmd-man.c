/* purser man: the manual page purser(1), from the same tables as --help. Made at build time and installed. */
#include "purser/command.h"

#include <stdio.h>

/* Text for roff: a backslash is doubled, and a line may not begin with a dot or an apostrophe. */
static void put_text(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        start = *text == '\n';
    }
}

static void put_command(const Command *command)
{
    printf(".SS \"purser %s", command->name);
    if (*command->arguments)
        printf(" %s", command->arguments);
    printf("\"\n");
    put_text(command->summary);
    printf(".\n");
    for (int i = 0; i < OPTION_MAX && command->option[i].name; i++) {
        const Option *option = &command->option[i];
        printf(".TP\n\\fB");
        if (option->letter)
            printf("\\-%c\\fR, \\fB", option->letter);
        printf("\\-\\-%s\\fR", option->name);
        if (option->argument)
            printf(" \\fI%s\\fR", option->argument);
        printf("\n");
        put_text(option->help);
        printf("\n");
    }
    if (command->help) {
        printf(".PP\n.nf\n");
        put_text(command->help);
        printf(".fi\n");
    }
}

static int run(const Invocation *invocation)
{
    (void)invocation;
    printf(".TH PURSER 1 \"\" \"purser %s\" \"User Commands\"\n"
           ".SH NAME\npurser \\- run CI metric collectors without giving them the API tokens\n"
           ".SH SYNOPSIS\n.B purser\n.I COMMAND\n.RI [ OPTION ...]\n.RI [ ARGUMENT ...]\n.SH DESCRIPTION\n",
           PURSER_VERSION);
    put_text("Each run of a retriever gets a lease: a string that is worthless anywhere but at this purser, "
             "for this\n"
             "run, for minutes, for the calls that a policy allows. The retriever calls the provider's API "
             "as it always\n"
             "did; purser checks the call, puts the real token on it, and passes the answer back. When the "
             "run ends,\n"
             "purser loads what it left in $OUTPUTDIR into PostgreSQL or SQLite.\n");
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < n_commands; i++)
        put_command(commands[i]);
    printf(".SH EXIT STATUS\n"
           "0 done; 1 something that was asked for failed; 2 usage; 3 configuration; 4 the database; 5 a "
           "token or "
           "its store.\n"
           ".SH FILES\n.TP\n.I ./purser.yaml, /etc/purser/purser.yaml\nthe configuration\n"
           ".TP\n.I /var/lib/purser, ~/.local/state/purser\nstate: keyring, runs, audit, the default sink\n");
    return EXIT_OK;
}

const Command command_man = {
    .name = "man",
    .arguments = "",
    .summary = "Print the manual page",
    .help = "Example:\n  purser man | man -l -\n",
    .run = run,
};
