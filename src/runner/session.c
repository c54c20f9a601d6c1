/* The dialogue with the gate. See session.h. */
#include "runner/session.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "runner/collect.h"
#include "runner/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SETUP_WAIT 60000 /* ms, between records */
#define MAX_ROOTS  (8u << 20)
#define MAX_AGAIN  20

#define TOLD_TO_END "It was told to end before the script began."

static int connect_once(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *ret_fd = fd_steal(&fd);
    return 0;
}

static int connect_gate(Session *session, const char *path, uint64_t wait)
{
    int64_t until = clock_mono() + (int64_t)wait;
    for (;;) {
        struct pollfd told = {session->signal_fd, POLLIN, 0};
        int r = connect_once(path, &session->gate.fd);
        if ((r != -ENOENT && r != -ECONNREFUSED) || clock_mono() > until)
            return r;
        if (poll(&told, 1, 50) > 0 && supervise_told_to_end(session->signal_fd))
            return -EINTR;
    }
}

static int receive(Session *session, int timeout_ms, IpcRecord *ret_record)
{
    bool begun = session->gate.stage != IPC_SETUP; /* then the results are to be loaded first */
    struct pollfd wait[] = {{session->gate.fd, POLLIN, 0}, {begun ? -1 : session->signal_fd, POLLIN, 0}};
    int n;
    do {
        n = poll(wait, COUNT_OF(wait), timeout_ms);
        if (n > 0 && wait[1].revents && supervise_told_to_end(session->signal_fd))
            return -EINTR;
    } while ((n < 0 && errno == EINTR) || (n > 0 && !wait[0].revents));
    return n == 0 ? -ETIMEDOUT : n < 0 ? -errno : ipc_recv(&session->gate, session->room, ret_record);
}

static int take_env(Session *session, const IpcRecord *record)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    Slice name = wire_get_slice(&wire, 256), value = wire_get_slice(&wire, IPC_MAX_PAYLOAD);
    uint32_t source = wire_get_u32(&wire);
    (void)source; /* the keeper's business: the gate has put the lease in already */
    int r = wire_finish(&wire);
    return r ? r : environment_set(session->environment, name, value);
}

/* The public roots and the run's CA, in one file that the script may read. */
static int write_bundle(const char *path, int roots, Slice ca)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_ROOTS);
    int r = 0;
    if (roots >= 0 && lseek(roots, 0, SEEK_SET) == 0)
        r = io_read_all(roots, &text);
    if (!r)
        r = buf_append_text(&text, "\n");
    if (!r)
        r = buf_append_slice(&text, ca);
    CLEANUP_FD int fd = r ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!r && fd < 0)
        r = -errno;
    return r ? r : io_write_all(fd, buf_slice(&text).ptr, text.len);
}

static int take_setup(Session *session, Fault *fault)
{
    CLEANUP_FD int roots = -1;
    CLEANUP_BUF Buf ca = BUF_INIT(64u << 10);
    for (;;) {
        IpcRecord record;
        int r = receive(session, SETUP_WAIT, &record);
        if (r)
            return r;
        if (record.type == IPC_ENV) {
            r = take_env(session, &record);
        } else if (record.type == IPC_CA) {
            buf_reset(&ca);
            r = buf_append_slice(&ca, record.payload);
        } else if (record.type == IPC_ROOTS) {
            fd_close(&roots);
            roots = ipc_record_take(&record, 0);
        } else if (record.type == IPC_RUN_START) {
            WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
            r = run_limits_get(&wire, &session->limits);
            explicit_bzero(session->room, IPC_MAX_RECORD);
            return r || !session->bundle ? r : write_bundle(session->bundle, roots, buf_slice(&ca));
        } else if (record.type == IPC_RUN_NOT) {
            return fault_set(fault, -ECANCELED, "%.*s", (int)record.payload.len, record.payload.ptr);
        } else {
            r = -EPROTO;
        }
        ipc_record_close(&record);
        if (r)
            return r;
    }
}

int session_connect(Session *session, const char *path, uint64_t wait, Fault *fault)
{
    session->gate = (IpcPeer){.fd = -1, .self = IPC_RUNNER, .other = IPC_GATE, .stage = IPC_SETUP};
    session->room = mem_new(1, IPC_MAX_RECORD);
    int r = connect_gate(session, path, wait);
    if (r == -EINTR)
        return fault_set(fault, r, TOLD_TO_END);
    if (r)
        return fault_set(fault, r, "Cannot reach the run's gate at %s: %s.", path, strerror(-r));
    return 0;
}

int session_begin(Session *session, Fault *fault)
{
    int r = ipc_send(&session->gate, IPC_HELLO, (Slice){"", 0}, NULL, 0);
    if (!r || r == -EPIPE || r == -ECONNRESET)
        r = take_setup(session, fault);
    /* One that has hung up without reading: first that is told, then what it had said before. */
    if (r == -ECONNRESET)
        r = take_setup(session, fault);
    if (r == -ECANCELED)
        return r;
    if (r == -EINTR)
        return fault_set(fault, r, TOLD_TO_END);
    if (r == -ECONNRESET || r == -EPIPE)
        return fault_set(fault, r, "The run's gate closed the connection; its own lines say why.");
    if (r)
        return fault_set(fault, r, "The set-up from the run's gate failed: %s.", strerror(-r));
    session->gate.stage = IPC_OPEN;
    return 0;
}

void session_close(Session *session)
{
    fd_close(&session->gate.fd);
    mem_free(STEAL(session->room));
}

static int send_all(Session *session, int output_fd, RunEnd *end, OutputSink *sink)
{
    unsigned char room[64];
    WireWriter wire = WIRE_WRITER(room);
    end->outputs = 0;
    int r =
        output_fd < 0 ? 0 : collect_send(&session->gate, output_fd, &session->limits, sink, &end->outputs);
    if (r)
        return r;
    run_end_put(end, &wire);
    return ipc_send_wire(&session->gate, IPC_RUN_END, &wire, NULL, 0);
}

/* 0 with the gate's word, whatever it is. */
static int wait_loaded(Session *session, RunLoaded *ret_loaded)
{
    IpcRecord record = {.n_fd = 0};
    int r = receive(session, (int)session->load_minutes * 60000, &record);
    if (r)
        return r;
    WireReader wire = WIRE_READER(record.payload.ptr, record.payload.len);
    r = record.type == IPC_LOADED ? run_loaded_get(&wire, ret_loaded) : -EPROTO;
    ipc_record_close(&record);
    return r;
}

static void say_loaded(OutputSink *sink, const RunLoaded *loaded)
{
    char rows[32], unchanged[32], dead[32];
    output_say(sink, "%s rows loaded, %s were there already, %s lines could not be read.",
               text_human_count(rows, loaded->rows), text_human_count(unchanged, loaded->unchanged),
               text_human_count(dead, loaded->dead));
}

int session_finish(Session *session, int output_fd, RunEnd *end, OutputSink *sink, Fault *fault)
{
    for (int i = 0; i < MAX_AGAIN; i++) {
        RunLoaded loaded;
        int r = send_all(session, output_fd, end, sink);
        if (!r)
            r = wait_loaded(session, &loaded);
        if (r == -ETIMEDOUT)
            return fault_set(fault, r, "The results were not loaded within %u minutes; %s.",
                             session->load_minutes, session->afterwards);
        if (r)
            return fault_set(fault, r, "The run's gate was gone before the results were loaded (%s); %s.",
                             strerror(-r), session->afterwards);
        if (loaded.result == RUN_LOAD_FAILED)
            return fault_set(fault, -EIO, "The results could not be loaded: %.*s (%s)",
                             (int)loaded.sentence.len, loaded.sentence.ptr, session->afterwards);
        if (loaded.result == RUN_LOAD_OK) {
            say_loaded(sink, &loaded);
            return 0;
        }
    }
    return fault_set(fault, -EIO, "The results were asked for %d times and never loaded; %s.", MAX_AGAIN,
                     session->afterwards);
}
