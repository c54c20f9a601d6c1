/* The command line: a table of subcommands, each in a file of its own; --help is generated from the tables.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"
#include "supervisor/exit-status.h"

#define OPTION_MAX 32

/* A flag, or an option with an argument when `argument` names it. */
typedef struct Option {
    const char *name; /* "json" for --json */
    char letter;      /* 0: none */
    const char *argument;
    const char *help;
} Option;

typedef struct Invocation {
    const char *value[OPTION_MAX]; /* by index into the command's options: the argument, "" for a flag, NULL:
                                      absent */
    int n_argument;
    char **argument; /* what is left */
} Invocation;

typedef struct Command {
    const char *name;
    const char *arguments;            /* "[RETRIEVER...]" */
    const char *summary;              /* one line, for the list of commands */
    const char *help;                 /* paragraphs and examples, for --help */
    Option option[OPTION_MAX];        /* ends with an empty name */
    int min_arguments, max_arguments; /* -1: any */
    int (*run)(const Invocation *invocation);
    bool passes_options; /* argv goes on untouched (a process of its own parses it) */
} Command;

extern const Command command_run, command_schedule, command_status, command_ingest, command_check,
    command_token, command_doctor, command_schema, command_prune, command_policy, command_audit,
    command_completion, command_man, command_lease, command_rotate, command_revoke, command_agent,
    command_init, command_ready;

/* The table that main.c looks in, and its length. */
extern const Command *const commands[];
extern const size_t n_commands;

/* Index of an option by name; the command's options are few. Used as INVOKED(invocation, &command_run,
 * "json"). */
const char *command_option(const Command *command, const Invocation *invocation, const char *name);

/* Parses what follows the command's name. EXIT_USAGE after saying why, or -1 to go on; --help prints and
 * gives 0. */
int command_parse(const Command *command, int argc, char **argv, Invocation *ret_invocation);
void command_print_help(const Command *command);
