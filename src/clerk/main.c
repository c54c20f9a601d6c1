/* purser-clerk and purser-clerk-pg: reads what runs left behind and loads it into the database; also whatever
 * else asks the database.
 *
 *   supervisor --commands--> clerk --rows--> SQLite file or PostgreSQL
 *   gate --descriptors of outputs--> clerk        keeper --database credential--> clerk
 *
 * SETUP, then the sandbox, then the first foreign byte. Everything blocks: there is one thing to do at a
 * time, and each wait has its limit. */
#include "base/log.h"
#include "clerk/command.h"
#include "clerk/credential.h"
#include "clerk/database.h"
#include "clerk/ndjson.h"
#include "clerk/walls.h"
#include "sandbox/sandbox.h"
#include "json/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sysexits.h>

static char room[IPC_MAX_RECORD];

static int fetch_credential(void *userdata, Credential *ret_credential, Fault *fault)
{
    return credential_receive(userdata, ret_credential, fault);
}

/* The first record; *ret_keeper_fd is -1 when the database wants no credential. */
static int receive_setup(const IpcPeer *supervisor, ClerkSetup *ret_setup, int *ret_keeper_fd)
{
    IpcRecord record;
    int r = ipc_recv(supervisor, room, &record);
    if (r)
        return r;
    WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
    r = record.type == IPC_CLERK_SETUP ? clerk_setup_get(&wire, ret_setup) : -EPROTO;
    if (!r)
        *ret_keeper_fd = ret_setup->has_credential ? ipc_record_take(&record, 0) : -1;
    ipc_record_close(&record);
    return r;
}

static int serve(const Commands *commands)
{
    for (;;) {
        IpcRecord record;
        int r = ipc_recv(commands->supervisor, room, &record);
        if (r == -ECONNRESET)
            return 0;
        if (r)
            return r;
        if (record.type == IPC_STOP) {
            ipc_record_close(&record);
            return 0;
        }
        r = command_run(commands, &record);
        if (r)
            return r;
    }
}

/* Nothing of the environment may steer a library: no PGPASSFILE, no SQLITE_TMPDIR, no OPENSSL_CONF. */
static void forget_surroundings(void)
{
    clearenv();
    umask(0027);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the supervisor decides: it has the terminal */
}

/* The supervisor shows the sentence to a person. */
static int say_and_end(const IpcPeer *supervisor, const Fault *fault)
{
    unsigned char text[1024];
    WireWriter wire = WIRE_WRITER(text);
    wire_put_text(&wire, fault->text);
    log_error("%s", fault->text);
    return ipc_send_wire(supervisor, IPC_FAULT, &wire, NULL, 0) ? EX_PROTOCOL : EX_OSERR;
}

int main(void)
{
    IpcPeer supervisor = {
        .fd = IPC_CONTROL_FD, .self = IPC_CLERK, .other = IPC_SUPERVISOR, .stage = IPC_SETUP};
    ClerkSetup setup = {0};
    CLEANUP_FD int keeper_fd = -1;
    Fault fault = {""};
    log_open("purser-clerk", LOG_INFO);
    if (sandbox_harden(&fault)) {
        log_error("%s", fault.text);
        return EX_OSERR;
    }
    if (fcntl(IPC_CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0) {
        log_error("this program is a part of purser and is started by it; see purser --help");
        return EX_USAGE;
    }
    forget_surroundings();
    if (sodium_init() < 0)
        return EX_SOFTWARE;
    json_arena_install(NDJSON_ARENA);
    int r = receive_setup(&supervisor, &setup, &keeper_fd);
    if (r) {
        log_error("the supervisor's setup did not come: %s", strerror(-r));
        return EX_PROTOCOL;
    }
    supervisor.stage = IPC_OPEN;
    if (walls_enter(&setup, &fault))
        return say_and_end(&supervisor, &fault);
    IpcPeer keeper = {.fd = keeper_fd, .self = IPC_CLERK, .other = IPC_KEEPER, .stage = IPC_OPEN};
    RowSink *sink = database_new(&setup, fetch_credential, &keeper);
    Commands commands = {.supervisor = &supervisor, .setup = &setup, .sink = sink};
    r = serve(&commands);
    sink->ops->close(sink);
    clerk_setup_done(&setup);
    if (r)
        log_error("the supervisor's channel: %s", strerror(-r));
    return r ? EX_PROTOCOL : 0;
}
