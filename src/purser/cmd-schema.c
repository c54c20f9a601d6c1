/* purser schema: the SQL for a DBA, or bringing the sink's schema up to date. */
#include "base/log.h"
#include "purser/command.h"
#include "purser/sink.h"

#include <stdio.h>

static void take_text(const IpcRecord *record, void *context)
{
    (void)context;
    if (record->type == IPC_CLERK_TEXT)
        fwrite(record->payload.ptr, 1, record->payload.len, stdout);
}

static int run(const Invocation *invocation)
{
    Session session;
    SinkLink sink;
    Fault fault = {0};
    bool only_sql = command_option(&command_schema, invocation, "sql") != NULL;
    int status = session_open(command_option(&command_schema, invocation, "file"), &session);
    if (status >= 0)
        return status;
    if (only_sql) /* needs no credential: nothing is connected to */
        session.config->sink.credential.kind = STORE_NONE;
    int r = sink_open(&session, &sink, &fault);
    if (!r)
        r = clerk_command(&sink.clerk, only_sql ? IPC_CLERK_SCHEMA : IPC_CLERK_MIGRATE, NULL, NULL, 0, 120000,
                          take_text, NULL, &fault);
    sink_close(&sink);
    if (r)
        log_error("%s", fault.text);
    else if (!only_sql)
        printf("The schema is up to date.\n");
    session_close(&session);
    return r ? clerk_exit_status(r) : EXIT_OK;
}

const Command command_schema = {
    .name = "schema",
    .arguments = "",
    .summary = "Bring the database's schema up to date, or print its SQL",
    .help = "Examples:\n"
            "  purser schema           create and migrate the tables (each run does that too, unless "
            "`migrate: false`)\n"
            "  purser schema --sql     the statements with owner, loader and reader roles, for a DBA to "
            "review and run\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"sql", 0, NULL, "print the SQL and change nothing"}},
    .run = run,
};
