/* purser policy: policy files by themselves, what they make of a request, and how one is made. */
#include "base/io.h"
#include "base/log.h"
#include "purser/command.h"
#include "purser/policy-commands.h"
#include "supervisor/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

const char *policy_option(const Invocation *invocation, const char *name)
{
    return command_option(&command_policy, invocation, name);
}

static int read_file(const char *path, Policy **ret_policy, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(POLICY_MAX_BYTES);
    int r = io_read_file(AT_FDCWD, path, &text);
    if (r)
        return fault_set(fault, -EINVAL, "%s: %s.", path,
                         r == -EFBIG ? "longer than a policy may be (64 KiB)" : strerror(-r));
    return policy_parse(path, buf_slice(&text), ret_policy, fault);
}

int policy_read_file(const char *path, Policy **ret_policy)
{
    Fault fault = {0};
    if (read_file(path, ret_policy, &fault) == 0)
        return -1;
    log_error("%s", fault.text);
    return EXIT_CONFIG;
}

static void json_file(JsonWriter *json, const char *path, const Policy *policy, bool tests,
                      const Fault *fault)
{
    json_object_begin(json, NULL);
    json_text(json, "file", path);
    json_bool(json, "sound", fault->text[0] == '\0');
    if (policy) {
        json_text(json, "policy", policy->name);
        json_u64(json, "rules", policy->n_rule);
        json_u64(json, "tests", policy->n_test);
        json_bool(json, "tested", tests);
    }
    if (fault->text[0])
        json_text(json, "message", fault->text);
    json_object_end(json);
}

/* json: NULL, for people. */
static int check_file(const char *path, bool tests, JsonWriter *json)
{
    Policy *policy = NULL;
    Fault fault = {0};
    int r = read_file(path, &policy, &fault);
    if (!r && tests)
        r = policy_run_tests(policy, &fault);
    if (json)
        json_file(json, path, policy, tests, &fault);
    else if (r)
        log_error("%s", fault.text);
    else if (tests)
        printf("%s: %zu rules, %zu tests pass\n", path, policy->n_rule, policy->n_test);
    else
        printf("%s: %zu rules\n", path, policy->n_rule);
    policy_free(policy);
    return r ? EXIT_CONFIG : EXIT_OK;
}

static int check_files(const Invocation *invocation)
{
    CLEANUP_BUF Buf text = BUF_INIT(8u << 20);
    JsonWriter json = JSON_WRITER(&text);
    bool tests = strcmp(invocation->argument[0], "test") == 0;
    bool as_json = policy_option(invocation, "json") != NULL;
    int status = EXIT_OK;
    if (invocation->n_argument < 2) {
        log_error("purser policy %s needs a file, as in policy/my-read.yaml.", invocation->argument[0]);
        return EXIT_USAGE;
    }
    if (as_json)
        json_array_begin(&json, NULL);
    for (int i = 1; i < invocation->n_argument; i++) {
        int one = check_file(invocation->argument[i], tests, as_json ? &json : NULL);
        status = one ? one : status;
    }
    if (as_json) {
        json_array_end(&json);
        int printed = print_json(&json);
        status = status ? status : printed;
    }
    return status;
}

static int run(const Invocation *invocation)
{
    static const struct {
        const char *word;
        int (*run)(const Invocation *invocation);
    } calls[] = {{"check", check_files},
                 {"test", check_files},
                 {"explain", policy_explain_run},
                 {"record", policy_record_run},
                 {"list", policy_list_run}};
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (strcmp(invocation->argument[0], calls[i].word) == 0)
            return calls[i].run(invocation);
    log_error("purser policy takes check, test, explain, record or list, not %s.", invocation->argument[0]);
    return EXIT_USAGE;
}

const Command command_policy = {
    .name = "policy",
    .arguments = "check FILE... | test FILE... | explain METHOD URL | record RETRIEVER | list",
    .summary = "Check policies, ask them about a request, make one from what a retriever does",
    .help =
        "check: whether policy files can be read. test: that, and the tests beside their rules.\n"
        "explain: what the policies of purser.yaml (or one: --policy) make of a request: which rule, why, "
        "and\n"
        "what would change it. URL is whole, or a path beneath the source's apiUrl. It asks nobody.\n"
        "record: runs a retriever once, against the real API, as `purser run` does; only that GET, HEAD and\n"
        "queries of GraphQL pass that no rule allows (what a deny rule names does not, nor does what "
        "writes),\n"
        "and that nothing is loaded into the sink. Prints the narrowest policy that allows what it did, "
        "with\n"
        "tests.\n"
        "list: the policies that there are, purser's own and those beside purser.yaml.\n\n"
        "Examples:\n"
        "  purser policy test policy/*.yaml\n"
        "  purser policy explain GET https://api.github.com/repos/acme/web/actions/runs?page=2\n"
        "  purser policy explain POST /graphql --policy github-actions-read --body query.json\n"
        "  purser policy explain GET /repos/a/b --policy policy/my-read.yaml --with owner=acme,repo=web\n"
        "  purser policy record actions > policy/actions-recorded.yaml\n"
        "  purser policy list --json\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"json", 0, NULL, "print as JSON"},
               {"policy", 0, "POLICY", "explain: by this one, a name or a file, without purser.yaml"},
               {"with", 0, "NAME=VALUE,...", "explain: values of its parameters"},
               {"retriever", 0, "NAME", "explain: of this one alone"},
               {"source", 0, "NAME", "explain, record: of this source alone"},
               {"body", 0, "FILE", "explain: a GraphQL request as JSON, or a document alone"},
               {"accept", 0, "TYPE", "explain: with this Accept header"},
               {"content-type", 0, "TYPE", "explain: with a body of this type"},
               {"name", 0, "NAME", "record: of the policy (default: RETRIEVER-recorded)"}},
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
};
