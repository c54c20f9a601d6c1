/* Records between supervisor and clerk. See clerk.h. */
#include "ipc/clerk.h"

#include "ipc/list.h"

#include <errno.h>

void clerk_setup_put(const ClerkSetup *setup, WireWriter *wire)
{
    wire_put_u8(wire, setup->kind);
    wire_put_u8(wire, setup->migrate);
    wire_put_u8(wire, setup->has_credential);
    wire_put_u8(wire, setup->sandbox_optional);
    wire_put_text(wire, setup->path);
    wire_put_text(wire, setup->dsn);
    wire_put_text(wire, setup->owner_role);
    wire_put_text(wire, setup->reader_role);
}

int clerk_setup_get(WireReader *wire, ClerkSetup *ret_setup)
{
    ClerkSetup setup = {.kind = wire_get_u8(wire)};
    setup.migrate = wire_get_bool(wire);
    setup.has_credential = wire_get_bool(wire);
    setup.sandbox_optional = wire_get_bool(wire);
    setup.path = wire_dup_text(wire, 4096);
    setup.dsn = wire_dup_text(wire, 4096);
    setup.owner_role = wire_dup_text(wire, 63);
    setup.reader_role = wire_dup_text(wire, 63);
    if (wire_finish(wire) || setup.kind > SINK_POSTGRES) {
        clerk_setup_done(&setup);
        return -EBADMSG;
    }
    *ret_setup = setup;
    return 0;
}

void clerk_setup_done(ClerkSetup *setup)
{
    mem_free(setup->path);
    mem_free(setup->dsn);
    mem_free(setup->owner_role);
    mem_free(setup->reader_role);
    *setup = (ClerkSetup){0};
}

void clerk_load_put(const ClerkLoad *load, WireWriter *wire)
{
    wire_put_text(wire, load->run);
    wire_put_text(wire, load->retriever);
    wire_put_text(wire, load->file);
    wire_put_u32(wire, (uint32_t)load->n_source);
    for (size_t i = 0; i < load->n_source; i++)
        wire_put_text(wire, load->source[i]);
    wire_put_i64(wire, load->since);
    wire_put_i64(wire, load->until);
    wire_put_i64(wire, load->observed);
    wire_put_u64(wire, load->output_bytes);
    wire_put_u32(wire, load->output_files);
    wire_put_u8(wire, load->advance);
    wire_put_u32(wire, load->patience);
}

int clerk_load_get(WireReader *wire, ClerkLoad *ret_load)
{
    ClerkLoad load = {.run = wire_dup_text(wire, 63)};
    load.retriever = wire_dup_text(wire, 63);
    load.file = wire_dup_text(wire, RUN_MAX_PATH);
    load.n_source = wire_get_count(wire, CONFIG_MAX_SOURCES);
    load.source = MEM_NEW_ARRAY(char *, load.n_source);
    for (size_t i = 0; i < load.n_source; i++)
        load.source[i] = wire_dup_text(wire, 63);
    load.since = wire_get_i64(wire);
    load.until = wire_get_i64(wire);
    load.observed = wire_get_i64(wire);
    load.output_bytes = wire_get_u64(wire);
    load.output_files = wire_get_u32(wire);
    load.advance = wire_get_bool(wire);
    load.patience = wire_get_u32(wire);
    if (wire_finish(wire)) {
        clerk_load_done(&load);
        return -EBADMSG;
    }
    *ret_load = load;
    return 0;
}

void clerk_load_done(ClerkLoad *load)
{
    mem_free(load->run);
    mem_free(load->retriever);
    mem_free(load->file);
    mem_free_strings(load->source, load->n_source);
    *load = (ClerkLoad){0};
}

void clerk_run_put(const ClerkRun *run, WireWriter *wire)
{
    wire_put_slice(wire, run->run);
    wire_put_slice(wire, run->retriever);
    wire_put_slice(wire, run->status);
    wire_put_u32(wire, (uint32_t)run->exit_status);
    wire_put_i64(wire, run->started);
    wire_put_i64(wire, run->ended);
    wire_put_i64(wire, run->since);
    wire_put_i64(wire, run->until);
    wire_put_slice(wire, run->sources);
    wire_put_slice(wire, run->refusals);
}

int clerk_run_get(WireReader *wire, ClerkRun *ret_run)
{
    ClerkRun run = {.run = wire_get_slice(wire, 63)};
    run.retriever = wire_get_slice(wire, 63);
    run.status = wire_get_slice(wire, 63);
    run.exit_status = (int32_t)wire_get_u32(wire);
    run.started = wire_get_i64(wire);
    run.ended = wire_get_i64(wire);
    run.since = wire_get_i64(wire);
    run.until = wire_get_i64(wire);
    run.sources = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    run.refusals = wire_get_slice(wire, IPC_MAX_PAYLOAD);
    int r = wire_finish(wire);
    if (!r)
        *ret_run = run;
    return r;
}

void clerk_prune_put(const ClerkPrune *prune, WireWriter *wire)
{
    wire_put_u8(wire, prune->dry_run);
    wire_put_u64(wire, prune->rows);
    wire_put_u64(wire, prune->dead_letters);
    wire_put_u64(wire, prune->seals);
}

int clerk_prune_get(WireReader *wire, ClerkPrune *ret_prune)
{
    ClerkPrune prune = {.dry_run = wire_get_bool(wire), .rows = wire_get_u64(wire)};
    prune.dead_letters = wire_get_u64(wire);
    prune.seals = wire_get_u64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_prune = prune;
    return r;
}

void clerk_rows_put(const ClerkRows *rows, WireWriter *wire)
{
    wire_put_text(wire, rows->table);
    wire_put_u64(wire, rows->rows);
}

int clerk_rows_get(WireReader *wire, ClerkRows *ret_rows)
{
    ClerkRows rows;
    WIRE_GET_ARRAY(wire, rows.table);
    rows.rows = wire_get_u64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_rows = rows;
    return r;
}

void clerk_seal_put(const ClerkSeal *seal, WireWriter *wire)
{
    wire_put_text(wire, seal->installation);
    wire_put_u64(wire, seal->number);
    wire_put_slice(wire, (Slice){(const char *)seal->head, sizeof(seal->head)});
    wire_put_text(wire, seal->run);
    wire_put_text(wire, seal->retriever);
    wire_put_i64(wire, seal->time);
}

int clerk_seal_get(WireReader *wire, ClerkSeal *ret_seal)
{
    ClerkSeal seal = {.number = 0};
    WIRE_GET_ARRAY(wire, seal.installation);
    seal.number = wire_get_u64(wire);
    WIRE_GET_BYTES(wire, seal.head);
    WIRE_GET_ARRAY(wire, seal.run);
    WIRE_GET_ARRAY(wire, seal.retriever);
    seal.time = wire_get_i64(wire);
    int r = wire_finish(wire);
    if (!r)
        *ret_seal = seal;
    return r;
}

void clerk_done_put(const ClerkDone *done, WireWriter *wire)
{
    wire_put_u8(wire, done->result);
    wire_put_text(wire, done->sentence);
}

int clerk_done_get(WireReader *wire, ClerkDone *ret_done)
{
    ClerkDone done = {.result = wire_get_u8(wire)};
    WIRE_GET_ARRAY(wire, done.sentence);
    int r = wire_finish(wire);
    if (!r)
        *ret_done = done;
    return r;
}
