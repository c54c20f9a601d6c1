/* purser lease: for a script in its run: what its lease may do, a lesser one for a child, and its end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "lease/caveat.h"
#include "purser/command.h"
#include "purser/lease-client.h"
#include "supervisor/node.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define MAX_STATUS (256u << 10)

static const char *option(const Invocation *invocation, const char *name)
{
    return command_option(&command_lease, invocation, name);
}

static int find_lease(const Invocation *invocation, char lease[LEASE_MAX_TEXT])
{
    const LeaseFrom from = {option(invocation, "source"), option(invocation, "env"),
                            option(invocation, "stdin") != NULL};
    Fault fault;
    if (lease_find(&from, lease, &fault) == 0)
        return -1;
    log_error("%s", fault.text);
    return EXIT_USAGE;
}

static void print_left(const char *title, const YamlNode *root, const char *key, bool bytes)
{
    const YamlNode *node = yaml_get(root, key);
    char left[32], limit[32];
    if (!node)
        return;
    uint64_t l = node_number(node, "left"), of = node_number(node, "limit");
    if (bytes)
        printf("%-12s %s left of %s\n", title, text_human_size(left, l), text_human_size(limit, of));
    else
        printf("%-12s %s left of %s\n", title, text_human_count(left, l), text_human_count(limit, of));
}

/* The provider's name for its limit is a stranger's. */
static void print_limit(const YamlNode *limit)
{
    char name[200], left[32], of[32], reserved[32];
    text_escape(name, sizeof(name), node_text(limit, "name"), strlen(node_text(limit, "name")));
    printf("%-12s %s left of %s until %s", name[0] ? name : "provider",
           text_human_count(left, node_number(limit, "remaining")),
           text_human_count(of, node_number(limit, "limit")), node_text(limit, "reset"));
    if (node_number(limit, "reserved"))
        printf(", %s of them for people", text_human_count(reserved, node_number(limit, "reserved")));
    printf("\n");
}

static void print_status(const YamlNode *root)
{
    printf("%-12s %s (policy %s)\n", "source", node_text(root, "source"), node_text(root, "policy"));
    for (size_t i = 0; i < node_count(root, "caveats"); i++)
        printf("%-12s %s\n", i ? "" : "narrowed to", node_item(root, "caveats", i)->text);
    printf("%-12s %s\n", "expires", node_text(root, "expires"));
    print_left("requests", root, "requests", false);
    print_left("sent", root, "requestBytes", true);
    print_left("received", root, "responseBytes", true);
    print_left("GraphQL cost", root, "graphqlCost", false);
    printf("%-12s %s requests a second\n", "rate", node_text(root, "ratePerSecond"));
    if (node_text(root, "sourceRatePerSecond")[0])
        printf("%-12s %s requests a second of all leases of the source together\n", "",
               node_text(root, "sourceRatePerSecond"));
    for (size_t i = 0; i < node_count(root, "limits"); i++)
        print_limit(node_item(root, "limits", i));
    if (node_text(root, "pausedUntil")[0])
        printf("%-12s the provider has asked to wait until %s\n", "paused", node_text(root, "pausedUntil"));
}

/* Asks, and shows what purser says when it says no. An exit status, or -1 with the answer. */
static int ask(const Invocation *invocation, const char *method, const char *path, Buf *ret_body,
               YamlDoc **ret_doc)
{
    char lease[LEASE_MAX_TEXT];
    Fault fault;
    int http = 0, status = find_lease(invocation, lease);
    if (status >= 0)
        return status;
    int r = lease_call(method, path, lease, &http, ret_body, &fault);
    sodium_memzero(lease, sizeof(lease));
    r = r ? r : yaml_doc_read("the answer", buf_slice(ret_body), MAX_STATUS, ret_doc, &fault);
    if (r) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    if (http == 200)
        return -1;
    log_error("%s (%s)", node_text((*ret_doc)->root, "message"), node_text((*ret_doc)->root, "purser"));
    return EXIT_FAILED;
}

static int run_status(const Invocation *invocation)
{
    CLEANUP_BUF Buf body = BUF_INIT(MAX_STATUS);
    CLEANUP_YAML YamlDoc *doc = NULL;
    int status = ask(invocation, "GET", "/purser/v1/lease", &body, &doc);
    if (status >= 0)
        return status;
    if (option(invocation, "json"))
        printf("%s\n", buf_text(&body));
    else
        print_status(doc->root);
    return EXIT_OK;
}

static int run_revoke(const Invocation *invocation)
{
    CLEANUP_BUF Buf body = BUF_INIT(MAX_STATUS);
    CLEANUP_YAML YamlDoc *doc = NULL;
    int status = ask(invocation, "POST", "/purser/v1/lease/revoke", &body, &doc);
    if (status >= 0)
        return status;
    if (option(invocation, "json"))
        printf("%s\n", buf_text(&body));
    else
        printf("%s for source %s is revoked.\n",
               node_flag(doc->root, "whole") ? "The run's lease" : "The narrowed lease",
               node_text(doc->root, "source"));
    return EXIT_OK;
}

/* "5m" is from now on; "10MiB" is a number of bytes; the rest is what a caveat takes. */
static const char *caveat_value(CaveatWord word, const char *given, char room[static CLOCK_TEXT])
{
    uint64_t value;
    if (word == CAVEAT_EXPIRES && text_parse_duration(slice_of(given), &value) == 0 && value < INT64_MAX / 2)
        return clock_format(room, (clock_wall() + (int64_t)value) / CLOCK_SECOND * CLOCK_SECOND);
    if (word == CAVEAT_BYTES && text_parse_size(slice_of(given), &value) == 0)
        return text_u64(room, value);
    return given;
}

static int add_caveat(CaveatWord word, const char *given, char lease[LEASE_MAX_TEXT])
{
    char room[CLOCK_TEXT], caveat[LEASE_MAX_CAVEAT + 2], next[LEASE_MAX_TEXT];
    Caveat parsed;
    snprintf(caveat, sizeof(caveat), "%s=%s", caveat_word_text(word), caveat_value(word, given, room));
    if (caveat_parse(caveat, &parsed) != 0) {
        log_error("--%s %s: it must be %s.", caveat_word_text(word), given, caveat_value_text(word));
        return EXIT_USAGE;
    }
    int r = lease_narrow(slice_of(lease), caveat, next);
    if (r) {
        log_error(r == -ENOBUFS
                      ? "The lease has no room for one more caveat (%d at most, and 1,000 bytes together)."
                      : "That is not a whole lease; at most %d caveats fit one.",
                  LEASE_MAX_CAVEATS);
        return EXIT_USAGE;
    }
    memcpy(lease, next, LEASE_MAX_TEXT);
    sodium_memzero(next, sizeof(next));
    return -1;
}

static int run_command(char *const *command, const char *lease)
{
    if (lease_replace_everywhere(lease) == 0) {
        log_error("No variable of the environment holds this lease, so %s would have none.", command[0]);
        return EXIT_USAGE;
    }
    execvp(command[0], command);
    log_error("Cannot start %s: %s.", command[0], strerror(errno));
    return EXIT_FAILED;
}

static int run_narrow(const Invocation *invocation)
{
    char lease[LEASE_MAX_TEXT];
    size_t n = 0;
    int status = find_lease(invocation, lease);
    for (CaveatWord word = 0; word < CAVEAT_WORDS && status < 0; word++) {
        const char *given = option(invocation, caveat_word_text(word));
        if (given && (status = add_caveat(word, given, lease)) < 0)
            n++;
    }
    if (status < 0 && n == 0) {
        log_error("Say what the lease is narrowed to; `purser lease --help` has the options.");
        status = EXIT_USAGE;
    }
    if (status < 0 && invocation->n_argument > 1) {
        invocation->argument[invocation->n_argument] = NULL;
        status = run_command(invocation->argument + 1, lease);
    } else if (status < 0) {
        printf("%s\n", lease);
        status = EXIT_OK;
    }
    sodium_memzero(lease, sizeof(lease));
    return status;
}

static int run(const Invocation *invocation)
{
    static const struct {
        const char *word;
        int (*run)(const Invocation *invocation);
    } calls[] = {{"status", run_status}, {"narrow", run_narrow}, {"revoke", run_revoke}};
    const char *word = invocation->argument[0];
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (strcmp(word, calls[i].word) != 0)
            continue;
        if (calls[i].run != run_narrow && invocation->n_argument > 1) {
            log_error("purser lease %s takes no further words; a lease is never one.", word);
            return EXIT_USAGE;
        }
        return calls[i].run(invocation);
    }
    log_error("purser lease takes status, narrow or revoke, not %s.", word);
    return EXIT_USAGE;
}

const Command command_lease = {
    .name = "lease",
    .arguments = "status | narrow [-- COMMAND...] | revoke",
    .summary = "In a run: what its lease may do, a lesser one, and its end",
    .help =
        "For a retriever's script. The lease is taken from the environment (PURSER_LEASE_<SOURCE>) or from\n"
        "standard input, never from the command line. `narrow` works offline: it prints a lease that may do\n"
        "less, or runs COMMAND with it in the place of every lease of that source. `revoke` ends the lease\n"
        "that is given, and all that was narrowed from it, at once.\n\n"
        "Examples:\n"
        "  purser lease status\n"
        "  purser lease narrow --source github --method GET --path '/repos/acme/**' -- ./child\n"
        "  LESS=$(purser lease narrow --requests 100 --expires 5m)\n"
        "  echo \"$LESS\" | purser lease revoke --stdin\n",
    .option = {{"source", 0, "NAME", "the source, if the run has several"},
               {"env", 0, "VARIABLE", "the variable that holds the lease"},
               {"stdin", 0, NULL, "the lease is on standard input"},
               {"expires", 0, "WHEN", "until then: 5m from now, or 2026-01-02T03:04:05Z"},
               {"host", 0, "HOST", "this host only"},
               {"method", 0, "METHODS", "these methods only: GET,HEAD"},
               {"path", 0, "PATTERN", "these paths only, as in a policy"},
               {"graphql", 0, "WHAT", "query, mutation, both, or none"},
               {"requests", 0, "N", "so many requests"},
               {"bytes", 0, "SIZE", "so many bytes of answers: 10MiB"},
               {"json", 0, NULL, "print the answer as JSON"}},
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
};
