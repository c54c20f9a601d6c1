/* A cron expression from anywhere: what is accepted comes due, later than now, and the time before that is
 * not later. */
#include "schedule/cron.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const zone[] = {"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"};
    const int64_t now = INT64_C(1711846800) * 1000000; /* Berlin's clocks change in this hour */
    Cron cron;
    Fault fault = {""};
    int64_t next, prev;
    if (cron_parse((Slice){(const char *)data, size}, &cron, &fault)) {
        if (!fault.text[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(zone); i++) {
        if (cron_check_zone(zone[i], NULL))
            continue;
        if (cron_next(&cron, zone[i], now, &next) || next <= now || cron_prev(&cron, zone[i], now, &prev) ||
            prev > now)
            abort();
    }
    return 0;
}
