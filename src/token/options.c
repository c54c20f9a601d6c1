/* The command line of purser-token. See options.h. */
#include "token/options.h"

#include "base/text.h"

#include <errno.h>
#include <getopt.h>

enum { OPTION_PATH = 1, OPTION_KEY_FILE, OPTION_PASSPHRASE, OPTION_HOST, OPTION_JSON, OPTION_HELP };

static const struct option known[] = {
    {"path", required_argument, NULL, OPTION_PATH},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"passphrase", no_argument, NULL, OPTION_PASSPHRASE},
    {"host", required_argument, NULL, OPTION_HOST},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int add_host(TokenOptions *options, const char *host, Fault *fault)
{
    if (!text_is_host(slice_of(host)))
        return fault_set(fault, -EINVAL,
                         "--host takes a host name in lower case, without scheme, port or path "
                         "(api.github.com)");
    if (options->n_host == COUNT_OF(options->host))
        return fault_set(fault, -EINVAL, "a token may have %zu hosts at most", COUNT_OF(options->host));
    options->host[options->n_host++] = host;
    return 0;
}

static int take_option(int option, TokenOptions *options, Fault *fault)
{
    switch (option) {
    case OPTION_PATH:
        options->path = optarg;
        return 0;
    case OPTION_KEY_FILE:
        options->key_file = optarg;
        return 0;
    case OPTION_PASSPHRASE:
        options->passphrase = true;
        return 0;
    case OPTION_HOST:
        return add_host(options, optarg, fault);
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_HELP:
        options->help = true;
        return 0;
    case ':':
        return fault_set(fault, -EINVAL, "an option lacks its value; see --help");
    default: /* not repeated: it may be `--token=...` */
        return fault_set(fault, -EINVAL,
                         "there is an option that purser token does not know; see --help. (If a token "
                         "was in it, it is in the shell's history now: delete it there, and consider "
                         "replacing it)");
    }
}

int token_options_parse(int argc, char **argv, bool takes_name, TokenOptions *ret_options, Fault *fault)
{
    TokenOptions options = {0};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        int r = take_option(option, &options, fault);
        if (r)
            return r;
    }
    if (options.help) {
        *ret_options = options;
        return 0;
    }
    if (takes_name && optind < argc)
        options.name = argv[optind++];
    if (optind < argc)
        return fault_set(
            fault, -EINVAL,
            "there is an argument too many. If it is the token: it is never given on the command line, "
            "where every process sees it; it is in the shell's history now: delete it there, and consider "
            "replacing it. purser asks for it, or takes it from standard input");
    if (takes_name && !options.name)
        return fault_set(fault, -EINVAL, "the token's name is missing; see --help");
    if (takes_name && !text_is_name(slice_of(options.name))) /* not repeated: it may be the token itself */
        return fault_set(fault, -EINVAL,
                         "a token's name is made of a-z, 0-9, '.', '_' and '-', 63 bytes at most, and "
                         "begins and ends with a letter or digit");
    *ret_options = options;
    return 0;
}
