/* Heads of the audit as rows of a sink. */
#pragma once

#include "clerk/sink.h"

#define SEAL_HEX   (2 * sizeof(((ClerkSeal *)0)->head) + 1)
#define SEAL_TEXTS 5

const char *seal_head_text(const ClerkSeal *seal, char out[static SEAL_HEX]);

/* A row as it was read: installation, head, retriever, run, time. */
typedef struct SealRow {
    uint64_t number;
    Slice text[SEAL_TEXTS];
} SealRow;

/* Gives it on. A row that cannot be one of purser's is given on with a head of zeros, which fits nothing. */
int seal_each(const SealRow *row, SinkSeal *each, void *userdata) MUST_USE;
