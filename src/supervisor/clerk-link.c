/* The supervisor's side of a clerk. See clerk-link.h. */
#include "supervisor/clerk-link.h"

#include "base/mem.h"
#include "supervisor/exit-status.h"

#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>

UserId clerk_user(const Config *config)
{
    UserId user = user_of_role(USER_CLERK);
    struct stat status;
    if (!user.own || config->sink.kind != SINK_SQLITE)
        return user;
    CLEANUP_MEM char *copy = mem_strdup(config->sink.path);
    if (stat(dirname(copy), &status) == 0 && status.st_uid != user.uid)
        user = (UserId){status.st_uid, status.st_gid, true};
    return user;
}

int clerk_fork(const Config *config, const Paths *paths, Role *ret_clerk, Fault *fault)
{
    const char *program = config->sink.kind == SINK_SQLITE ? "purser-clerk" : "purser-clerk-pg";
    return role_start_program(paths->libexec, IPC_CLERK, program, clerk_user(config), ret_clerk, fault);
}

int clerk_tell(const Config *config, KeeperLink *keeper, Role *clerk, Fault *fault)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    const Sink *sink = &config->sink;
    ClerkSetup setup = {.kind = (uint8_t)sink->kind,
                        .migrate = sink->migrate,
                        .has_credential = sink->credential.kind != STORE_NONE,
                        .sandbox_optional = config->sandbox_optional,
                        .path = sink->path,
                        .dsn = sink->dsn,
                        .owner_role = sink->owner_role,
                        .reader_role = sink->reader_role};
    int pair[2] = {-1, -1}, r = 0;
    if (setup.has_credential && (r = ipc_pair(false, pair)))
        fault_set(fault, r, "Cannot make a socket pair: %s.", strerror(-r));
    if (!r && setup.has_credential)
        r = keeper_send_credential(keeper, &sink->credential, pair[0], fault);
    clerk_setup_put(&setup, &wire);
    if (!r)
        r = role_send_wire(clerk, IPC_CLERK_SETUP, &wire, &pair[1], setup.has_credential ? 1 : 0, fault);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    if (r)
        role_stop(clerk, 0);
    else
        clerk->peer.stage = IPC_OPEN;
    return r;
}

int clerk_start(const Config *config, const Paths *paths, KeeperLink *keeper, Role *ret_clerk, Fault *fault)
{
    Role clerk = ROLE_NONE;
    if (config->sink.credential.kind != STORE_NONE && !keeper)
        return fault_set(fault, -EINVAL, "The sink's credential needs the keeper.");
    int r = clerk_fork(config, paths, &clerk, fault);
    r = r ? r : clerk_tell(config, keeper, &clerk, fault);
    if (!r)
        *ret_clerk = clerk;
    return r;
}

int clerk_begin(Role *clerk, uint16_t type, const WireWriter *payload, const int *fd, size_t n_fd,
                Fault *fault)
{
    WireWriter nothing = {0};
    return role_send_wire(clerk, type, payload ? payload : &nothing, fd, n_fd, fault);
}

int clerk_await(Role *clerk, int timeout_ms, ClerkRecord *on_record, void *context, Fault *fault)
{
    static unsigned char room[IPC_MAX_RECORD];
    int r = 0;
    while (!r) {
        IpcRecord record;
        if ((r = role_receive(clerk, timeout_ms, room, &record, fault)))
            break;
        if (record.type == IPC_CLERK_DONE) {
            WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
            ClerkDone done;
            if (clerk_done_get(&wire, &done))
                return fault_set(fault, -EPROTO, "The clerk's answer cannot be read.");
            return done.result ? fault_set(fault, done.result, "%s", done.sentence) : 0;
        }
        if (on_record)
            on_record(&record, context);
        ipc_record_close(&record);
    }
    return r;
}

int clerk_command(Role *clerk, uint16_t type, const WireWriter *payload, const int *fd, size_t n_fd,
                  int timeout_ms, ClerkRecord *on_record, void *context, Fault *fault)
{
    int r = clerk_begin(clerk, type, payload, fd, n_fd, fault);
    return r ? r : clerk_await(clerk, timeout_ms, on_record, context, fault);
}

int clerk_exit_status(int result)
{
    return result == 0 ? EXIT_OK : result == CLERK_E_DATA ? EXIT_FAILED : EXIT_SINK;
}
