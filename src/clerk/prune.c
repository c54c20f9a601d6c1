/* Removes old rows. See prune.h. */
#include "clerk/prune.h"

#include "base/clock.h"
#include "clerk/schema.h"

/* The ledger goes last, with the rows that it speaks for. stream_state and purser_schema stay. */
static const struct {
    const char *table;
    size_t keep; /* which time of ClerkPrune */
} pruned[] = {
#define KEEP(table, time)                                                                                    \
    {                                                                                                        \
        (table), offsetof(ClerkPrune, time)                                                                  \
    }
    KEEP("ci_run", rows),          KEEP("ci_job", rows),
    KEEP("ci_test_result", rows),  KEEP("ci_deployment", rows),
    KEEP("ci_queue_sample", rows), KEEP("metric_sample", rows),
    KEEP("collection_run", rows),  KEEP("dead_letter", dead_letters),
    KEEP("ingest_ledger", rows),   KEEP(SCHEMA_SEALS, seals),
};

int prune(RowSink *sink, const ClerkPrune *prune, PruneReport *report, void *userdata, Fault *fault)
{
    int64_t now = clock_wall();
    int r = sink->ops->ready(sink, fault);
    for (size_t i = 0; i < COUNT_OF(pruned) && !r; i++) {
        uint64_t keep = *(const uint64_t *)((const char *)prune + pruned[i].keep), rows = 0;
        if (keep == 0 || keep >= (uint64_t)now)
            continue;
        r = sink->ops->prune(sink, pruned[i].table, now - (int64_t)keep, prune->dry_run, &rows, fault);
        if (!r)
            r = report(userdata, pruned[i].table, rows);
    }
    return r;
}
