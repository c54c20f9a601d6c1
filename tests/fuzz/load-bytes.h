/* For the clerk's fuzzers: bytes as a run's file, through the real reader, parsers and batches into a sink
 * that keeps nothing, but ends the process when a row is not what a database may be given. */
#pragma once

#include "base/text.h"
#include "clerk/load.h"
#include "clerk/ndjson.h"
#include "json/arena.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HOLD(condition) ((condition) ? (void)0 : abort())

static int null_ready(RowSink *sink, Fault *fault)
{
    (void)sink, (void)fault;
    return 0;
}

static int null_claim(RowSink *sink, Slice run, Fault *fault)
{
    (void)sink, (void)run, (void)fault;
    return 0;
}

static void null_end(RowSink *sink)
{
    (void)sink;
}

static int null_progress(RowSink *sink, Slice run, Slice file, SinkProgress *ret_progress, Fault *fault)
{
    (void)sink, (void)run, (void)fault;
    HOLD(text_is_utf8(file) && file.len <= TABLE_MAX_NAME);
    *ret_progress = (SinkProgress){0};
    return 0;
}

static int null_begin(RowSink *sink, int64_t observed, int64_t *ret_observed, Fault *fault)
{
    (void)sink, (void)fault;
    *ret_observed = observed;
    return 0;
}

static int null_row(RowSink *sink, const Row *row, Fault *fault)
{
    (void)sink, (void)fault;
    for (size_t i = 0; i < row->table->n_column; i++) {
        const Column *column = &row->table->column[i];
        const Cell *cell = &row->cell[i];
        HOLD(cell->set || !(column->required || column->key));
        if (!cell->set)
            continue;
        if (column->kind == CELL_REAL)
            HOLD(isfinite(cell->real));
        if (column->kind == CELL_TIME)
            HOLD(cell->integer >= 0);
        if (column->kind != CELL_TEXT && column->kind != CELL_JSON)
            continue;
        HOLD(text_is_utf8(cell->text) && !memchr(cell->text.ptr, '\0', cell->text.len));
        HOLD(!column->key || cell->text.len <= TABLE_MAX_NAME);
        HOLD(cell->text.len <= TABLE_MAX_TEXT);
    }
    return 0;
}

static int null_commit(RowSink *sink, const SinkBatch *batch, SinkCounts *ret_counts, Fault *fault)
{
    (void)sink, (void)batch, (void)fault;
    *ret_counts = (SinkCounts){0};
    return 0;
}

static inline int load_bytes(const char *name, const uint8_t *data, size_t size)
{
    static const SinkOps ops = {.ready = null_ready,
                                .claim = null_claim,
                                .release = null_end,
                                .progress = null_progress,
                                .begin = null_begin,
                                .row = null_row,
                                .commit = null_commit,
                                .abandon = null_end};
    static RowSink sink = {&ops};
    static char run[] = "run", github[] = "github", *source[] = {github};
    static const ClerkLoad context = {.run = run,
                                      .retriever = github,
                                      .source = source,
                                      .n_source = 1,
                                      .until = 1600000000000000,
                                      .observed = 1600000000000000,
                                      .output_bytes = 1u << 30,
                                      .output_files = 10};
    static bool once;
    if (!once)
        json_arena_install(NDJSON_ARENA);
    once = true;
    CLEANUP_FD int fd = memfd_create("output", MFD_CLOEXEC);
    Load *load;
    Fault fault = {""};
    HOLD(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    HOLD(load_begin(&sink, &context, &load, &fault) == 0);
    HOLD(load_file(load, fd, slice_of(name), &fault) == 0);
    load_end(load);
    return 0;
}
