/* purser prune: removes what `retain:` no longer keeps: rows, dead letters, runs' outputs and logs,
 * environments. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/sink.h"
#include "supervisor/audit-files.h"
#include "supervisor/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static void print_rows(const IpcRecord *record, void *context)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    ClerkRows rows;
    char count[32];
    if (record->type == IPC_CLERK_ROWS && !clerk_rows_get(&wire, &rows))
        printf("%s %-18s %12s rows\n", *(bool *)context ? "would remove" : "removed", rows.table,
               text_human_count(count, rows.rows));
}

static int prune_sink(Session *session, bool dry, Fault *fault)
{
    unsigned char bytes[64];
    WireWriter wire = WIRE_WRITER(bytes);
    const Retain *retain = &session->config->retain;
    ClerkPrune prune = {dry, retain->rows, retain->dead_letters, retain->audit};
    SinkLink sink;
    if (!prune.rows && !prune.dead_letters && !prune.seals)
        return 0;
    clerk_prune_put(&prune, &wire);
    int r = sink_open(session, &sink, fault);
    if (!r)
        r = clerk_command(&sink.clerk, IPC_CLERK_PRUNE, &wire, NULL, 0, 600000, print_rows, &dry, fault);
    sink_close(&sink);
    return r;
}

/* Runs whose outputs were never loaded are kept whatever their age: their rows are nowhere else. */
static unsigned prune_runs(const Session *session, bool dry)
{
    RunReport *list = NULL;
    size_t n = 0;
    unsigned removed = 0;
    int64_t oldest = clock_wall() - (int64_t)session->config->retain.outputs;
    if (!session->config->retain.outputs ||
        run_report_list(session->state.runs_fd, NULL, SIZE_MAX, &list, &n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].ended && list[i].ended < oldest && !list[i].output_kept &&
            (dry || tree_remove(session->state.runs_fd, list[i].id) == 0))
            removed++;
        run_report_done(&list[i]);
    }
    mem_free(list);
    return removed;
}

/* Environments that no run has used for that long; a retriever's next run builds one again. */
static unsigned prune_environments(const Session *session, bool dry)
{
    unsigned removed = 0;
    int64_t oldest = clock_wall() - (int64_t)session->config->retain.environments;
    int scan = openat(session->state.envs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = scan < 0 ? NULL : fdopendir(scan);
    if (!session->config->retain.environments || !folder) {
        if (folder)
            closedir(folder);
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat status;
        size_t n = strlen(entry->d_name);
        if (n < 7 || strcmp(entry->d_name + n - 6, ".ready") != 0 ||
            fstatat(session->state.envs_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            (int64_t)status.st_mtime * CLOCK_SECOND >= oldest)
            continue;
        removed++;
        if (dry)
            continue;
        unlinkat(session->state.envs_fd, entry->d_name, 0);
        entry->d_name[n - 6] = '\0';
        int r = tree_remove(session->state.envs_fd, entry->d_name);
        if (r)
            log_warning("envs/%s: %s.", entry->d_name, strerror(-r));
    }
    closedir(folder);
    return removed;
}

static int run(const Invocation *invocation)
{
    Session session;
    Fault fault = {0};
    bool dry = command_option(&command_prune, invocation, "dry-run") != NULL;
    int status = session_open(command_option(&command_prune, invocation, "file"), &session);
    if (status >= 0)
        return status;
    int r = state_lock(&session.state, &fault);
    if (!r) {
        printf("%s %u runs (retain.outputs)\n", dry ? "would remove" : "removed", prune_runs(&session, dry));
        printf("%s %u environments (retain.environments)\n", dry ? "would remove" : "removed",
               prune_environments(&session, dry));
        printf("%s %u files of the audit (retain.audit)\n", dry ? "would remove" : "removed",
               audit_files_prune(&session.state, session.config->retain.audit, dry));
        r = prune_sink(&session, dry, &fault);
    }
    if (r)
        log_error("%s", fault.text);
    session_close(&session);
    return r == -EBUSY ? EXIT_FAILED : r ? clerk_exit_status(r) : EXIT_OK;
}

const Command command_prune = {
    .name = "prune",
    .arguments = "",
    .summary = "Remove what `retain:` no longer keeps",
    .help =
        "Rows and dead letters in the sink, runs' logs and outputs, environments, the audit: each as long "
        "as\n"
        "`retain:` in purser.yaml says; what it does not name is kept for ever. Outputs that were not loaded "
        "yet\n"
        "always stay.\n\n"
        "Examples:\n"
        "  purser prune --dry-run\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"dry-run", 'n', NULL, "say what would go, and remove nothing"}},
    .run = run,
};
