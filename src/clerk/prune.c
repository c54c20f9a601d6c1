/* Removes old rows. See prune.h. */
#include "clerk/prune.h"

#include "base/clock.h"

/* The ledger goes last, with the rows that it speaks for. stream_state and purser_schema stay. */
static const struct {
    const char *table;
    bool dead;
} pruned[] = {
    {"ci_run", false},         {"ci_job", false},          {"ci_test_result", false},
    {"ci_deployment", false},  {"ci_queue_sample", false}, {"metric_sample", false},
    {"collection_run", false}, {"dead_letter", true},      {"ingest_ledger", false},
};

int prune(RowSink *sink, const ClerkPrune *prune, PruneReport *report, void *userdata, Fault *fault)
{
    int64_t now = clock_wall();
    int r = sink->ops->ready(sink, fault);
    for (size_t i = 0; i < COUNT_OF(pruned) && !r; i++) {
        uint64_t keep = pruned[i].dead ? prune->dead_letters : prune->rows, rows = 0;
        if (keep == 0 || keep >= (uint64_t)now)
            continue;
        r = sink->ops->prune(sink, pruned[i].table, now - (int64_t)keep, prune->dry_run, &rows, fault);
        if (!r)
            r = report(userdata, pruned[i].table, rows);
    }
    return r;
}
