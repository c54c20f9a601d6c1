/* Where windows begin. See window.h. */
#include "supervisor/window.h"

#include "base/clock.h"
#include "base/log.h"

#define SKEW (INT64_C(600) * CLOCK_SECOND)

int64_t window_since(const Retriever *retriever, int64_t stream, int64_t until)
{
    char text[CLOCK_TEXT];
    if (stream && stream <= until)
        return stream;
    if (stream && stream - until <= SKEW)
        return until;
    if (stream)
        log_warning("%s: its results have come to %s, as the sink says, which is in the future by this "
                    "machine's clock: one of the two was set wrong. Its first window is collected again.",
                    retriever->name, clock_format(text, stream));
    int64_t first = (int64_t)retriever->first_window;
    return until > first ? until - first : 0;
}

int64_t window_after(int64_t stream, const RunReport *report)
{
    bool moves = report->until > stream || stream > clock_wall();
    return report->status == RUN_OK && moves ? report->until : stream;
}
