/* Cron expressions of five fields (minute hour day-of-month month day-of-week), in a time zone of their own.
 * Lists, ranges, steps, JAN-DEC, SUN-SAT (Sunday is 0 and 7), and @hourly @daily @midnight @weekly @monthly
 * @yearly
 * @annually. When day of month and day of week are both restricted, either is enough; a field that begins
 * with '*' is not a restriction (as in Vixie cron).
 *
 * When clocks change: an expression whose hour is '*' runs in every real hour. Any other local time that is
 * skipped runs at the first instant after the gap; one that comes twice runs the first time only.
 *
 * Zones are read from /usr/share/zoneinfo by glibc; a call sets TZ for its own duration, so only the
 * supervisor, which has no threads, uses this.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

#define CRON_MAX_TEXT 256

typedef struct Cron {
    uint64_t minute;  /* bit 0 to 59 */
    uint32_t hour;    /* bit 0 to 23 */
    uint32_t day;     /* bit 1 to 31 */
    uint16_t month;   /* bit 1 to 12 */
    uint8_t weekday;  /* bit 0 (Sunday) to 6 */
    bool any_hour;    /* the field is '*' */
    bool any_day;     /* the field begins with '*' */
    bool any_weekday; /* the same */
} Cron;

/* -EINVAL with a sentence; also for a date that never comes (31 February). */
int cron_parse(Slice text, Cron *ret_cron, Fault *fault) MUST_USE;

/* NULL, "" and "UTC" are UTC. -EINVAL with a sentence: not the name of a zone, or no such zone on this
 * machine. */
int cron_check_zone(const char *time_zone, Fault *fault) MUST_USE;

/* The first time after (not at) `after`; the last at or before `until`. Microseconds of the wall clock, whole
 * minutes. -EINVAL: no such zone; -ERANGE: none within 40 years. */
int cron_next(const Cron *cron, const char *time_zone, int64_t after_wall_us, int64_t *ret_wall_us) MUST_USE;
int cron_prev(const Cron *cron, const char *time_zone, int64_t until_wall_us, int64_t *ret_wall_us) MUST_USE;

/* 0 to max_us, always the same for the same name, so that retrievers with the same expression spread out. */
uint64_t schedule_jitter(const char *name, uint64_t max_us);
