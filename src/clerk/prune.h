/* Removes what is older than its `retain:`. */
#pragma once

#include "clerk/sink.h"

/* Called for each table with the rows that went, or would go. */
typedef int PruneReport(void *userdata, const char *table, uint64_t rows);

/* CLERK_E_* and a sentence. Each table is a transaction of its own: what is interrupted goes on the next
 * time. */
int prune(RowSink *sink, const ClerkPrune *prune, PruneReport *report, void *userdata, Fault *fault) MUST_USE;
