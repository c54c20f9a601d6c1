/* The supervisor's commands. See command.h. */
#include "clerk/command.h"

#include "clerk/collect.h"
#include "clerk/prune.h"
#include "clerk/schema.h"

#include <errno.h>
#include <stdio.h>

#define TEXT_PIECE 32768

/* 0 or CLERK_E_* with a sentence; -errno when the channel is broken. */
typedef int Command(const Commands *commands, IpcRecord *record, Fault *fault);

static int answer_rows(void *userdata, const char *table, uint64_t rows)
{
    const Commands *commands = userdata;
    unsigned char room[256];
    ClerkRows answer = {.rows = rows};
    snprintf(answer.table, sizeof(answer.table), "%s", table);
    WireWriter wire = WIRE_WRITER(room);
    clerk_rows_put(&answer, &wire);
    return ipc_send_wire(commands->supervisor, IPC_CLERK_ROWS, &wire, NULL, 0);
}

static int answer_text(const Commands *commands, Slice text)
{
    int r = 0;
    while (text.len && !r) {
        size_t piece = text.len < TEXT_PIECE ? text.len : TEXT_PIECE;
        r = ipc_send(commands->supervisor, IPC_CLERK_TEXT, (Slice){text.ptr, piece}, NULL, 0);
        text.ptr += piece, text.len -= piece;
    }
    return r;
}

static int run_check(const Commands *commands, IpcRecord *record, Fault *fault)
{
    CLEANUP_BUF Buf report = BUF_INIT(16u << 10);
    (void)record;
    int r = commands->sink->ops->check(commands->sink, &report, fault);
    int sent = answer_text(commands, buf_slice(&report));
    return sent ? sent : r;
}

static int run_migrate(const Commands *commands, IpcRecord *record, Fault *fault)
{
    (void)record;
    return commands->sink->ops->migrate(commands->sink, fault);
}

static int run_count(const Commands *commands, IpcRecord *record, Fault *fault)
{
    (void)record;
    int r = commands->sink->ops->ready(commands->sink, fault);
    for (size_t i = 0; schema_tables[i] && !r; i++) {
        uint64_t rows;
        r = commands->sink->ops->count(commands->sink, schema_tables[i], &rows, fault);
        if (!r)
            r = answer_rows((void *)commands, schema_tables[i], rows);
    }
    return r;
}

static int run_prune(const Commands *commands, IpcRecord *record, Fault *fault)
{
    ClerkPrune what;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (clerk_prune_get(&wire, &what))
        return -EPROTO;
    return prune(commands->sink, &what, answer_rows, (void *)commands, fault);
}

static int run_schema(const Commands *commands, IpcRecord *record, Fault *fault)
{
    CLEANUP_BUF Buf sql = BUF_INIT(256u << 10);
    (void)record;
    if (schema_for_dba(commands->setup->owner_role, &sql))
        return fault_set(fault, CLERK_E_DATA, "the schema's text is too long");
    return answer_text(commands, buf_slice(&sql));
}

static int run_stream(const Commands *commands, IpcRecord *record, Fault *fault)
{
    unsigned char room[16];
    int64_t until = 0;
    WireReader reader = WIRE_READER(record->payload.ptr, record->payload.len);
    Slice retriever = wire_get_slice(&reader, 256);
    if (wire_finish(&reader))
        return -EPROTO;
    int r = commands->sink->ops->ready(commands->sink, fault);
    if (!r)
        r = commands->sink->ops->stream_get(commands->sink, retriever, &until, fault);
    if (r)
        return r;
    WireWriter wire = WIRE_WRITER(room);
    wire_put_i64(&wire, until);
    return ipc_send_wire(commands->supervisor, IPC_CLERK_STREAM_IS, &wire, NULL, 0);
}

static int run_run(const Commands *commands, IpcRecord *record, Fault *fault)
{
    ClerkRun run;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (clerk_run_get(&wire, &run))
        return -EPROTO;
    int r = commands->sink->ops->ready(commands->sink, fault);
    return r ? r : commands->sink->ops->run_put(commands->sink, &run, fault);
}

static int run_seal(const Commands *commands, IpcRecord *record, Fault *fault)
{
    ClerkSeal seal;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (clerk_seal_get(&wire, &seal))
        return -EPROTO;
    int r = commands->sink->ops->ready(commands->sink, fault);
    return r ? r : commands->sink->ops->seal_put(commands->sink, &seal, fault);
}

static int answer_seal(void *userdata, const ClerkSeal *seal)
{
    const Commands *commands = userdata;
    unsigned char room[512];
    WireWriter wire = WIRE_WRITER(room);
    clerk_seal_put(seal, &wire);
    return ipc_send_wire(commands->supervisor, IPC_CLERK_SEAL_IS, &wire, NULL, 0);
}

static int run_seals(const Commands *commands, IpcRecord *record, Fault *fault)
{
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    Slice installation = wire_get_slice(&wire, sizeof(((ClerkSeal *)0)->installation) - 1);
    if (wire_finish(&wire))
        return -EPROTO;
    int r = commands->sink->ops->ready(commands->sink, fault);
    return r ? r
             : commands->sink->ops->seals(commands->sink, installation, answer_seal, (void *)commands, fault);
}

/* To the supervisor, and to the run's gate when there is one (which may be gone by now: its runner then loads
 * again). */
static int answer_loaded(const Commands *commands, const IpcPeer *gate, const LoadTotals *totals, int result,
                         const Fault *fault)
{
    unsigned char room[2048];
    RunLoaded loaded = {.result = result ? RUN_LOAD_FAILED : RUN_LOAD_OK,
                        .rows = totals->counts.rows,
                        .unchanged = totals->counts.unchanged,
                        .dead = totals->counts.dead,
                        .files = totals->files,
                        .sentence = slice_of(result ? fault->text : "")};
    WireWriter wire = WIRE_WRITER(room);
    run_loaded_put(&loaded, &wire);
    if (gate && ipc_send_wire(gate, IPC_LOADED, &wire, NULL, 0) == -EMSGSIZE)
        return -EMSGSIZE;
    return ipc_send_wire(commands->supervisor, IPC_LOADED, &wire, NULL, 0);
}

static int run_load(const Commands *commands, IpcRecord *record, Fault *fault)
{
    ClerkLoad load;
    LoadTotals totals = {0};
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (clerk_load_get(&wire, &load))
        return -EPROTO;
    CLEANUP_FD int fd = ipc_record_take(record, 0);
    IpcPeer gate = {.fd = fd, .self = IPC_CLERK, .other = IPC_GATE, .stage = IPC_OPEN};
    int r = collect_run(commands->sink, &load, &gate, &totals, fault);
    clerk_load_done(&load);
    int sent = answer_loaded(commands, &gate, &totals, r, fault);
    return sent ? sent : r;
}

static int run_ingest(const Commands *commands, IpcRecord *record, Fault *fault)
{
    ClerkLoad load;
    LoadTotals totals = {0};
    Load *into = NULL;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    if (clerk_load_get(&wire, &load))
        return -EPROTO;
    CLEANUP_FD int fd = ipc_record_take(record, 0);
    int r = load_begin(commands->sink, &load, &into, fault);
    if (!r)
        r = load_file(into, fd, slice_of(load.file), fault);
    if (!r && load.advance)
        r = commands->sink->ops->stream_set(commands->sink, slice_of(load.retriever), slice_of(load.run),
                                            load.until, fault);
    if (into)
        totals = load_totals(into);
    load_end(into);
    clerk_load_done(&load);
    int sent = answer_loaded(commands, NULL, &totals, r, fault);
    return sent ? sent : r;
}

static const struct {
    IpcType type;
    Command *run;
} table[] = {
    {IPC_CLERK_CHECK, run_check}, {IPC_CLERK_MIGRATE, run_migrate}, {IPC_CLERK_COUNT, run_count},
    {IPC_CLERK_PRUNE, run_prune}, {IPC_CLERK_SCHEMA, run_schema},   {IPC_CLERK_STREAM, run_stream},
    {IPC_CLERK_LOAD, run_load},   {IPC_CLERK_INGEST, run_ingest},   {IPC_CLERK_RUN, run_run},
    {IPC_CLERK_SEAL, run_seal},   {IPC_CLERK_SEALS, run_seals},
};

int command_run(const Commands *commands, IpcRecord *record)
{
    unsigned char room[1024];
    Fault fault = {""};
    int r = -EPROTO;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].type == record->type)
            r = table[i].run(commands, record, &fault);
    ipc_record_close(record);
    if (r < 0)
        return r;
    ClerkDone done = {.result = (uint8_t)r};
    snprintf(done.sentence, sizeof(done.sentence), "%s", r ? fault.text : "");
    WireWriter wire = WIRE_WRITER(room);
    clerk_done_put(&done, &wire);
    return ipc_send_wire(commands->supervisor, IPC_CLERK_DONE, &wire, NULL, 0);
}
