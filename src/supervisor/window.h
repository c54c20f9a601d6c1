/* A run's window: from where its retriever's stream stands to the run's own beginning. Both are of clocks
 * that may have been wrong, this machine's or another's that collects into the same database.
 */
#pragma once

#include "config/config.h"
#include "supervisor/report.h"

/* Where a window begins that ends at `until`; `stream` 0: it has never come anywhere. One that stands in the
 * future was moved there by a wrong clock: said, and the first window is collected again, since nobody knows
 * how far it had come; by a few minutes two clocks may differ. Wall us. */
int64_t window_since(const Retriever *retriever, int64_t stream, int64_t until);

/* Where the stream stands once this run has ended, as the sink has it, too. */
int64_t window_after(int64_t stream, const RunReport *report);
