/* A line of NDJSON into a row. One JSON object (RFC 8259) with a `type`; fields that no column takes are kept
 * together as JSON. Refused, with a sentence: what is not JSON, a key twice, a number outside 64 bits or a
 * double, \u0000, depth past NDJSON_MAX_DEPTH. Bounded by NDJSON_ARENA. One at a time per process (jansson's
 * memory is one).
 */
#pragma once

#include "clerk/row.h"

#define NDJSON_MAX_DEPTH 32
#define NDJSON_ARENA     (128u << 20) /* json_arena_install() */

typedef struct Ndjson {
    size_t hint[64]; /* column after that of the nth key of the line before: where to look first */
    Buf extra, labels;
} Ndjson;

void ndjson_init(Ndjson *ndjson);
void ndjson_done(Ndjson *ndjson);

/* -EINVAL and a sentence. The row's texts are valid until the next call. */
int ndjson_parse(Ndjson *ndjson, Slice line, Row *row, Fault *fault) MUST_USE;

/* For a CSV cell: its JSON, compact, keys sorted; -EINVAL. *ret_json is valid until the next call of this
 * file. */
int ndjson_canonical(Ndjson *ndjson, Slice cell, Slice *ret_json, Fault *fault) MUST_USE;
