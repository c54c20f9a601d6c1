/* When a cron expression comes due. See cron.h. Days are found by calendar arithmetic alone; only within a
 * day that matches are instants looked at, minute by minute where the zone changes its offset, so that every
 * gap and every repeated hour is seen for what it is. */
#include "schedule/cron.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ZONE_DIR  "/usr/share/zoneinfo"
#define DAY       INT64_C(86400)
#define MAX_DAYS  (40 * 366)
#define WINDOW    (27 * 3600) /* more than any offset from UTC and its change together */
#define LEAST_DAY 0
#define MOST_DAY  2932896 /* 9999-12-31 */

static bool is_zone_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 64 || name[0] == '/' || strstr(name, ".."))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == len;
}

static bool is_utc(const char *name)
{
    return !name || !*name || strcmp(name, "UTC") == 0;
}

int cron_check_zone(const char *time_zone, Fault *fault)
{
    if (is_utc(time_zone))
        return 0;
    char path[sizeof(ZONE_DIR) + 80], magic[4] = "";
    if (!is_zone_name(time_zone))
        return fault_set(fault, -EINVAL,
                         "'%.80s' is not the name of a time zone, which is like Europe/Berlin or UTC",
                         time_zone);
    snprintf(path, sizeof(path), ZONE_DIR "/%s", time_zone);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(magic, 1, sizeof(magic), file) : 0;
    if (file)
        fclose(file);
    if (n != 4 || memcmp(magic, "TZif", 4) != 0)
        return fault_set(fault, -EINVAL,
                         "this machine knows no time zone '%s' (looked in " ZONE_DIR
                         "; names are like Europe/Berlin; the package is tzdata)",
                         time_zone);
    return 0;
}

/* TZ for the time of one call. */
typedef struct Zone {
    char *before;
} Zone;

static int zone_enter(Zone *zone, const char *name)
{
    if (cron_check_zone(name, NULL))
        return -EINVAL;
    char path[sizeof(ZONE_DIR) + 80] = "UTC0";
    if (!is_utc(name))
        snprintf(path, sizeof(path), ":" ZONE_DIR "/%s", name);
    const char *before = getenv("TZ");
    zone->before = before ? mem_strdup(before) : NULL;
    setenv("TZ", path, 1);
    tzset();
    return 0;
}

static void zone_leave(Zone *zone)
{
    if (zone->before)
        setenv("TZ", zone->before, 1);
    else
        unsetenv("TZ");
    tzset();
    mem_free(zone->before);
}

static int64_t offset_at(int64_t second)
{
    struct tm local;
    time_t t = (time_t)second;
    return localtime_r(&t, &local) ? local.tm_gmtoff : 0;
}

/* Seconds of the calendar on the wall, as if it hung in Greenwich. */
static int64_t local_at(int64_t second)
{
    return second + offset_at(second);
}

static bool day_matches(const Cron *cron, int64_t day)
{
    time_t noon = (time_t)(day * DAY + DAY / 2);
    struct tm date;
    if (!gmtime_r(&noon, &date) || !(cron->month >> (date.tm_mon + 1) & 1))
        return false;
    bool by_day = cron->day >> date.tm_mday & 1, by_weekday = cron->weekday >> date.tm_wday & 1;
    return cron->any_day || cron->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

static bool minute_matches(const Cron *cron, int64_t local)
{
    unsigned minute = (unsigned)(local % DAY / 60);
    return (cron->hour >> minute / 60 & 1) && (cron->minute >> minute % 60 & 1);
}

/* The instants of interest: the first at or after `from`, or the last at or before `until`. */
typedef struct Search {
    int64_t from, until; /* seconds, inclusive */
    bool last;
    bool found;
    int64_t at;
} Search;

/* True: enough. */
static bool offer(Search *search, int64_t at)
{
    if (at < search->from || at > search->until)
        return false;
    if (!search->found || (search->last ? at > search->at : at < search->at))
        search->at = at;
    search->found = true;
    return !search->last;
}

typedef struct Offsets {
    int64_t least, most;
} Offsets;

static Offsets offsets_around(int64_t day)
{
    int64_t start = day * DAY, first = offset_at(start);
    Offsets offsets = {first, first};
    for (int64_t t = start - WINDOW; t <= start + DAY + WINDOW; t += 3600) {
        int64_t offset = offset_at(t);
        if (offset < offsets.least)
            offsets.least = offset;
        if (offset > offsets.most)
            offsets.most = offset;
    }
    return offsets;
}

/* Every real minute of the day whose local time matches. */
static void search_every_hour(const Cron *cron, int64_t day, Search *search)
{
    Offsets offsets = offsets_around(day);
    int64_t from = day * DAY - offsets.most, until = (day + 1) * DAY - offsets.least;
    if (from < search->from)
        from = search->from + (60 - search->from % 60) % 60;
    for (int64_t t = from; t < until && t <= search->until; t += 60) {
        int64_t local = local_at(t);
        if (local >= day * DAY && local < (day + 1) * DAY && minute_matches(cron, local) && offer(search, t))
            return;
    }
}

/* Each local time of the day: the first instant at which clocks show it, or more. */
static void search_fixed(const Cron *cron, int64_t day, Search *search)
{
    Offsets offsets = offsets_around(day);
    for (int64_t local = day * DAY; local < (day + 1) * DAY; local += 60) {
        if (!minute_matches(cron, local))
            continue;
        int64_t t = local - offsets.most;
        while (t < local - offsets.least && local_at(t) < local)
            t += 60;
        if (offer(search, t))
            return;
    }
}

static void search_day(const Cron *cron, int64_t day, Search *search)
{
    if (day < LEAST_DAY || day > MOST_DAY || !day_matches(cron, day))
        return;
    if (cron->any_hour)
        search_every_hour(cron, day, search);
    else
        search_fixed(cron, day, search);
}

/* Starts a day early and looks a day further than the first that has one: a change of clocks can turn back
 * the date. */
static int search_days(const Cron *cron, int64_t second, Search *search)
{
    int64_t step = search->last ? -1 : 1, day = local_at(second) / DAY - step;
    for (int64_t n = 0; n < MAX_DAYS && !search->found; n++, day += step)
        search_day(cron, day, search);
    if (!search->found)
        return -ERANGE;
    search_day(cron, day, search);
    return 0;
}

static int run_search(const Cron *cron, const char *time_zone, int64_t second, Search *search,
                      int64_t *ret_wall_us)
{
    Zone zone;
    if (second < 0 || second > MOST_DAY * DAY)
        return -ERANGE;
    int r = zone_enter(&zone, time_zone);
    if (r)
        return r;
    r = search_days(cron, second, search);
    zone_leave(&zone);
    if (!r)
        *ret_wall_us = search->at * CLOCK_SECOND;
    return r;
}

int cron_next(const Cron *cron, const char *time_zone, int64_t after_wall_us, int64_t *ret_wall_us)
{
    int64_t second = after_wall_us / CLOCK_SECOND;
    Search search = {.from = second + 1, .until = INT64_MAX};
    return run_search(cron, time_zone, second, &search, ret_wall_us);
}

int cron_prev(const Cron *cron, const char *time_zone, int64_t until_wall_us, int64_t *ret_wall_us)
{
    int64_t second = until_wall_us / CLOCK_SECOND;
    Search search = {.from = INT64_MIN, .until = second, .last = true};
    return run_search(cron, time_zone, second, &search, ret_wall_us);
}
