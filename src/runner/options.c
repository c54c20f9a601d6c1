/* Flags by one table, from which the help is printed too. See options.h. */
#include "runner/options.h"

#include "base/text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define POD_WAIT 120 /* s: an agent that is started with the retriever */
#define WAIT     5

typedef enum FlagKind {
    FLAG_TEXT,
    FLAG_LIST,
    FLAG_FD,
    FLAG_NUMBER,
    FLAG_SWITCH,
    FLAG_COLLECT,
    FLAG_PREPARE
} FlagKind;

typedef struct Flag {
    const char *name, *value, *help;
    FlagKind kind;
    size_t at, count_at; /* in Options */
} Flag;

#define AT(field) offsetof(Options, field)

static const Flag flags[] = {
    {"--collect", NULL, "start nothing: pass on what lies in the output folder", FLAG_COLLECT, 0, 0},
    {"--prepare", NULL, "build a Python virtual environment in --env-dir", FLAG_PREPARE, 0, 0},
    {"--socket", "PATH", "the run's socket (default: $PURSER_RUN_SOCKET, /run/purser/run)", FLAG_TEXT,
     AT(socket), 0},
    {"--name", "NAME", "printed before each line (default: $PURSER_RETRIEVER)", FLAG_TEXT, AT(name), 0},
    {"--scratch", "DIR", "the script's working folder and HOME (default: the current one)", FLAG_TEXT,
     AT(scratch), 0},
    {"--output-dir", "DIR", "$OUTPUTDIR (default: SCRATCH/out)", FLAG_TEXT, AT(output_dir), 0},
    {"--output-fd", "N", "the same folder, opened already", FLAG_FD, AT(output_fd), 0},
    {"--log-fd", "N", "a file that gets what the script prints, up to 16 MiB", FLAG_FD, AT(log_fd), 0},
    {"--env-dir", "DIR", "the virtual environment", FLAG_TEXT, AT(env_dir), 0},
    {"--read", "PATH", "the script may read this too (repeatable)", FLAG_LIST, AT(read), AT(n_read)},
    {"--purser", "PATH", "purser itself: the script may run it, and finds it in its PATH", FLAG_TEXT,
     AT(purser), 0},
    {"--memory", "BYTES", "most address space of each process", FLAG_NUMBER, AT(memory), 0},
    {"--processes", "N", "most processes and threads", FLAG_NUMBER, AT(processes), 0},
    {"--own-uid", NULL, "the user id is this retriever's alone: files are kept apart by it", FLAG_SWITCH,
     AT(own_uid), 0},
    {"--no-connect-limit", NULL, "TCP is limited already, by a network namespace", FLAG_SWITCH,
     AT(no_connect_limit), 0},
    {"--no-file-limit", NULL, "files are limited already, by a container", FLAG_SWITCH, AT(no_file_limit), 0},
    {"--sandbox-optional", NULL, "a limit that this kernel cannot set is left out", FLAG_SWITCH,
     AT(walls_optional), 0},
    {"--wait", "SECONDS", "for a gate that is not there yet (default: in a pod 120, else 5)", FLAG_NUMBER,
     AT(wait), 0},
    {"--requirements", "FILE", "what pip installs: with --prepare, or in a pod before the script", FLAG_TEXT,
     AT(requirements), 0},
    {"--python", "PATH", "for pip: the interpreter (in a pod: the image's)", FLAG_TEXT, AT(python), 0},
    {"--package-index", "URL", "for pip: instead of its own", FLAG_TEXT, AT(package_index), 0},
    {"--proxy", "URL", "for pip: the way out", FLAG_TEXT, AT(proxy), 0},
    {"--ca-file", "FILE", "for pip: whom to trust", FLAG_TEXT, AT(ca_file), 0},
    {"--pass", "NAME", "for pip: this variable is passed on (repeatable)", FLAG_LIST, AT(pass), AT(n_pass)},
};

static void print_help(void)
{
    printf("purser-exec runs a retriever's script with the leases of its run, and passes on what it leaves "
           "in $OUTPUTDIR.\n\n"
           "  purser-exec [FLAG...] -- COMMAND [ARGUMENT...]\n"
           "  purser-exec --collect [FLAG...]\n"
           "  purser-exec --prepare --requirements FILE --env-dir DIR --python PATH [FLAG...]\n\n");
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        char left[48];
        snprintf(left, sizeof(left), "%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
        printf("  %-22s %s\n", left, flags[i].help);
    }
    printf("\nWithout --socket it is the main process of a retriever's container in a pod: it waits for the "
           "agent,\nprepares, keeps the container's environment and working folder, and works in a folder of "
           "its own in\n$TMPDIR or /tmp.\n"
           "\nIts status is the script's, or\n"
           "  121  the script succeeded, but its results could not be loaded (they are kept; in a pod the "
           "next run\n       collects the same window again)\n"
           "  122  the run's gate could not be reached\n"
           "  123  the run broke before the script started\n"
           "  124  the script ran longer than its time limit\n"
           "  128+N  signal N ended the script\n\n"
           "  purser-exec --requirements /files/requirements.txt -- python3 /files/collect.py\n");
}

static int wrong(const char *flag, const char *what)
{
    fprintf(stderr, "purser-exec: %s %s; `purser-exec --help` lists the flags.\n", flag, what);
    return -EINVAL;
}

static int take_value(const Flag *flag, const char *value, Options *options)
{
    void *at = (char *)options + flag->at;
    uint64_t number;
    switch (flag->kind) {
    case FLAG_TEXT:
        *(const char **)at = value;
        return 0;
    case FLAG_LIST: {
        size_t *n = (size_t *)((char *)options + flag->count_at);
        if (*n == OPTIONS_MAX_LIST)
            return wrong(flag->name, "is there too often (32 times at most)");
        ((const char **)at)[(*n)++] = value;
        return 0;
    }
    case FLAG_FD:
        if (text_parse_u64(slice_of(value), 1u << 20, &number))
            return wrong(flag->name, "needs the number of an open descriptor");
        *(int *)at = (int)number;
        return 0;
    default:
        if (text_parse_u64(slice_of(value), UINT64_MAX, &number))
            return wrong(flag->name, "needs a number");
        *(uint64_t *)at = number;
        return 0;
    }
}

static int take_flag(char ***argv, Options *options)
{
    const char *word = **argv;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        const Flag *flag = &flags[i];
        if (strcmp(flag->name, word) != 0)
            continue;
        if (flag->kind == FLAG_SWITCH)
            *(bool *)((char *)options + flag->at) = true;
        else if (flag->kind == FLAG_COLLECT)
            options->mode = RUNNER_COLLECT;
        else if (flag->kind == FLAG_PREPARE)
            options->mode = RUNNER_PREPARE;
        else if (!*++*argv)
            return wrong(word, "needs a value");
        else
            return take_value(flag, **argv, options);
        return 0;
    }
    return wrong(word, "is not a flag of purser-exec");
}

static int check(const Options *options)
{
    if (options->mode == RUNNER_RUN && (!options->command || !options->command[0]))
        return wrong("-- COMMAND", "is missing");
    if (options->mode == RUNNER_PREPARE && (!options->requirements || !options->env_dir || !options->python))
        return wrong("--prepare", "needs --requirements, --env-dir and --python");
    return 0;
}

static const char *or_environment(const char *value, const char *name, const char *otherwise)
{
    if (value)
        return value;
    value = getenv(name);
    return value && *value ? value : otherwise;
}

int options_parse(int argc, char **argv, Options *ret_options)
{
    Options options = {.output_fd = -1, .log_fd = -1};
    if (argc < 1)
        return -EINVAL;
    for (char **word = argv + 1; *word; word++) {
        if (strcmp(*word, "--") == 0) {
            options.command = word + 1;
            break;
        }
        if (strcmp(*word, "--help") == 0) {
            print_help();
            return 1;
        }
        if (strcmp(*word, "--version") == 0) {
            printf("purser-exec %s\n", PURSER_VERSION);
            return 1;
        }
        int r = take_flag(&word, &options);
        if (r)
            return r;
    }
    options.pod = options.mode == RUNNER_RUN && !options.socket;
    if (!options.wait)
        options.wait = options.pod ? POD_WAIT : WAIT;
    options.socket = or_environment(options.socket, "PURSER_RUN_SOCKET", "/run/purser/run");
    options.name = or_environment(options.name, "PURSER_RETRIEVER", "script");
    int r = check(&options);
    if (!r)
        *ret_options = options;
    return r;
}
