/* When a retriever runs next. See next-run.h. */
#include "purser/next-run.h"

#include "base/clock.h"
#include "schedule/cron.h"

/* Both ask for a time t of the line with t + jitter on the right side of a moment. */
int64_t next_run(const Retriever *retriever, int64_t after)
{
    Cron cron;
    int64_t jitter =
                (int64_t)schedule_jitter(retriever->name, retriever->jitter) / CLOCK_SECOND * CLOCK_SECOND,
            at;
    if (!*retriever->schedule || cron_parse(slice_of(retriever->schedule), &cron, NULL) ||
        cron_next(&cron, retriever->time_zone, after - jitter, &at))
        return 0;
    return at + jitter;
}

int64_t due_run(const Retriever *retriever, int64_t now)
{
    Cron cron;
    int64_t jitter =
                (int64_t)schedule_jitter(retriever->name, retriever->jitter) / CLOCK_SECOND * CLOCK_SECOND,
            at;
    if (!*retriever->schedule || cron_parse(slice_of(retriever->schedule), &cron, NULL) ||
        cron_prev(&cron, retriever->time_zone, now - jitter, &at))
        return 0;
    return at + jitter;
}

int64_t next_rotation(const Source *source, int64_t after)
{
    Cron cron;
    int64_t at;
    if (!*source->plan.schedule || cron_parse(slice_of(source->plan.schedule), &cron, NULL) ||
        cron_next(&cron, source->plan.time_zone, after, &at))
        return 0;
    return at;
}
