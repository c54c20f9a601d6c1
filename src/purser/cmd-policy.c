/* purser policy check|test: a policy file by itself, and the tests that stand beside its rules. */
#include "base/io.h"
#include "base/log.h"
#include "policy/policy.h"
#include "purser/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static int test_file(const char *path, bool run_tests)
{
    CLEANUP_BUF Buf text = BUF_INIT(POLICY_MAX_BYTES);
    Policy *policy = NULL;
    Fault fault = {0};
    int r = io_read_file(AT_FDCWD, path, &text);
    if (r) {
        log_error("%s: %s.", path, r == -EFBIG ? "longer than a policy may be (64 KiB)" : strerror(-r));
        return EXIT_CONFIG;
    }
    r = policy_parse(path, buf_slice(&text), &policy, &fault);
    if (!r && run_tests)
        r = policy_run_tests(policy, &fault);
    if (r)
        log_error("%s", fault.text);
    else if (run_tests)
        printf("%s: %zu rules, %zu tests pass\n", path, policy->n_rule, policy->n_test);
    else
        printf("%s: %zu rules\n", path, policy->n_rule);
    policy_free(policy);
    return r ? EXIT_CONFIG : EXIT_OK;
}

static int run(const Invocation *invocation)
{
    const char *what = invocation->argument[0];
    int status = EXIT_OK;
    bool tests = strcmp(what, "test") == 0;
    if (!tests && strcmp(what, "check") != 0) {
        log_error("purser policy takes check or test, not %s.", what);
        return EXIT_USAGE;
    }
    for (int i = 1; i < invocation->n_argument; i++) {
        int one = test_file(invocation->argument[i], tests);
        if (one)
            status = one;
    }
    return status;
}

const Command command_policy = {
    .name = "policy",
    .arguments = "check|test FILE...",
    .summary = "Check policy files and run the tests beside their rules",
    .help = "Examples:\n"
            "  purser policy test policy/*.yaml\n",
    .min_arguments = 2,
    .max_arguments = -1,
    .run = run,
};
