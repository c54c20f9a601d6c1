/* purser token: hands over to purser-token, a process of its own that takes tokens from a person. What it has
 * to know of the configuration (the keyring's place, the hosts that a token may go to) is added here. */
#include "base/log.h"
#include "base/mem.h"
#include "purser/command.h"
#include "supervisor/paths.h"
#include "supervisor/state.h"
#include "supervisor/token-list.h"

#include <errno.h>
#include <stdio.h>

typedef struct Words {
    char **word;
    size_t n;
} Words;

static void add(Words *words, const char *text)
{
    MEM_PUSH(words->word, words->n, mem_strdup(text));
}

static bool is_given(int argc, char **argv, const char *option)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], option) == 0 ||
            (strncmp(argv[i], option, strlen(option)) == 0 && argv[i][strlen(option)] == '='))
            return true;
    return false;
}

/* `set NAME` without --host: the hosts of the sources whose token this entry is. */
static void add_hosts(const Config *config, int argc, char **argv, Words *words)
{
    if (argc < 2 || strcmp(argv[0], "set") != 0 || is_given(argc, argv, "--host"))
        return;
    for (size_t i = 0; i < config->n_source; i++) {
        const Source *source = &config->source[i];
        for (int k = 1; k < argc; k++) {
            if (source->token.kind != STORE_KEYRING || strcmp(source->token.name, argv[k]) != 0)
                continue;
            for (uint32_t host = 0; host < source_hosts(source); host++)
                if (source_use(source, host) != HOST_ARTIFACT) {
                    add(words, "--host");
                    add(words, source_origin(source, host)->host);
                }
        }
    }
}

/* -f/--file is this program's; everything else goes on. */
static const char *take_file_option(int *argc, char **argv)
{
    const char *file = NULL;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if ((strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--file") == 0) && i + 1 < *argc)
            file = argv[++i];
        else if (strncmp(argv[i], "--file=", 7) == 0)
            file = argv[i] + 7;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return file;
}

static int run(const Invocation *invocation)
{
    int argc = invocation->n_argument;
    char **argv = invocation->argument;
    const char *file = take_file_option(&argc, argv);
    Words words = {0};
    Config *config = NULL;
    Paths paths;
    Fault fault = {0};
    char program[1200];
    if (paths_find(&paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    snprintf(program, sizeof(program), "%s/purser-token", paths.libexec);
    add(&words, "purser-token");
    for (int i = 0; i < argc; i++)
        add(&words, argv[i]);
    bool only_help = argc == 0 || is_given(argc, argv, "--help") || is_given(argc, argv, "-h");
    if (!only_help) {
        /* Without any purser.yaml the default keyring of this user is used, so that a token can be set first.
         */
        if (file || access("purser.yaml", F_OK) == 0 || access("/etc/purser/purser.yaml", F_OK) == 0) {
            int status = paths_load_config(file, &paths, &config);
            if (status >= 0)
                return status;
        }
        if (config && strcmp(argv[0], "list") == 0 && token_list_wanted(config)) {
            config_free(config);
            mem_free_strings(words.word, words.n);
            return token_list_sources(file, is_given(argc, argv, "--json"));
        }
        State state = STATE_NONE;
        if (state_open(config ? config->state : paths.state, &state, &fault)) {
            log_error("%s", fault.text);
            return EXIT_FAILED;
        }
        CLEANUP_MEM char *keyring = mem_printf("%s/keyring", state.path);
        CLEANUP_MEM char *key = mem_printf("%s/keyring.key", state.path);
        state_close(&state);
        if (!is_given(argc, argv, "--path")) {
            add(&words, "--path");
            add(&words, config ? config->keyring.path : keyring);
        }
        if (!is_given(argc, argv, "--key-file") && !is_given(argc, argv, "--passphrase")) {
            if (config && config->keyring.passphrase) {
                add(&words, "--passphrase");
            } else {
                add(&words, "--key-file");
                add(&words, config ? config->keyring.key_file : key);
            }
        }
        if (config)
            add_hosts(config, argc, argv, &words);
    }
    MEM_PUSH(words.word, words.n, NULL);
    execv(program, words.word);
    log_error("Cannot start %s: %s; purser is not installed whole.", program, strerror(errno));
    return EXIT_FAILED;
}

const Command command_token = {
    .name = "token",
    .arguments = "set NAME | list | remove NAME | rekey",
    .summary = "Put tokens into the keyring, list and remove them",
    .help = "A token is asked for on the terminal without showing it, or read from standard input; never "
            "from the\n"
            "command line. It may go to the hosts of the sources that name it, or to those of --host, and "
            "nowhere else.\n\n"
            "Where sources name other stores than the keyring, `list` shows for each source: store, version, "
            "when it was\n"
            "fetched and expires, how often it was renewed; never the token nor its hash.\n\n"
            "`rekey` seals the keyring with another passphrase (asked for twice) or another key file, in one "
            "step that\n"
            "may be interrupted at any time. A purser that runs goes on: with a key file it reads the new "
            "one, with "
            "a\n"
            "passphrase it uses what it holds for an hour, and is to be started again.\n\n"
            "Examples:\n"
            "  purser token set github\n"
            "  purser token set github < token.txt\n"
            "  purser token list --json\n"
            "  purser token remove github\n"
            "  purser token rekey\n",
    .max_arguments = -1,
    .run = run,
    .passes_options = true,
};
