/* purser audit verify: is the audit whole, or where was it altered or cut? */
#include "audit/audit.h"
#include "base/log.h"
#include "base/text.h"
#include "purser/audit-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static int verify(const char *path)
{
    Fault fault = {0};
    uint64_t records = 0;
    char count[32];
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        log_error("%s: %s.", path, strerror(errno));
        return EXIT_FAILED;
    }
    if (audit_verify(fd, &records, &fault)) {
        log_error("%s: %s", path, fault.text);
        return EXIT_FAILED;
    }
    printf("%s: %s records, each bound to the one before it.\n", path, text_human_count(count, records));
    return EXIT_OK;
}

/* What is not sound decides, whatever comes after it. */
static void verify_one(const char *path, void *context)
{
    int *status = context;
    int one = verify(path);
    if (*status <= EXIT_OK)
        *status = one;
}

static int run(const Invocation *invocation)
{
    if (strcmp(invocation->argument[0], "verify") != 0) {
        log_error("purser audit takes verify, not %s.", invocation->argument[0]);
        return EXIT_USAGE;
    }
    if (invocation->n_argument == 2)
        return verify(invocation->argument[1]);
    Session session;
    int status = session_open(command_option(&command_audit, invocation, "file"), &session);
    if (status >= 0)
        return status;
    audit_files_each(&session.state, verify_one, &status);
    session_close(&session);
    return status;
}

const Command command_audit = {
    .name = "audit",
    .arguments = "verify [FILE]",
    .summary = "Verify that the audit is whole",
    .help = "Every decision is a line of STATE/audit/audit.ndjson that carries the hash of the line before "
            "it.\n\n"
            "Examples:\n"
            "  purser audit verify\n"
            "  purser audit verify /var/lib/purser/audit/audit.ndjson\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"}},
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
