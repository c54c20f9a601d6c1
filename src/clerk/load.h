/* Loads the files of one run, batch by batch. What a line is, its parser knows; where it goes, the sink. This
 * file knows limits, order and the ledger.
 *
 * A bad line becomes a dead letter and the rest loads; a file that cannot be taken as a whole (a link, a
 * fifo, another ending, over the limits) is one dead letter of line 0. A file keeps LOAD_MAX_DEAD dead
 * letters at most, and counts on.
 */
#pragma once

#include "clerk/sink.h"

#define LOAD_MAX_DEAD    1000
#define LOAD_BATCH_LINES 50000
#define LOAD_BATCH_BYTES (16u << 20)

typedef struct Load Load;

/* Claims the run. `load` is borrowed. CLERK_E_* and a sentence. */
int load_begin(RowSink *sink, const ClerkLoad *load, Load **ret_load, Fault *fault) MUST_USE;

/* One file, already opened; `fd` is borrowed. Dead letters are not failures. CLERK_E_* and a sentence. */
int load_file(Load *load, int fd, Slice path, Fault *fault) MUST_USE;

/* Something that is no file: a dead letter. */
int load_refuse(Load *load, Slice path, const char *reason, Fault *fault) MUST_USE;

typedef struct LoadTotals {
    SinkCounts counts;
    uint32_t files;
} LoadTotals;
LoadTotals load_totals(const Load *load);

Load *load_end(Load *load); /* gives the run free; takes NULL, returns NULL */
