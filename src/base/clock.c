/* The clocks. See clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t test_wall = -1, test_mono = -1;

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec / 1000;
}

int64_t clock_wall(void)
{
    return test_wall >= 0 ? test_wall : read_clock(CLOCK_REALTIME);
}

int64_t clock_mono(void)
{
    return test_mono >= 0 ? test_mono : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_boot(void)
{
    return test_mono >= 0 ? test_mono : read_clock(CLOCK_BOOTTIME);
}

void clock_set_for_test(int64_t wall_us, int64_t mono_us)
{
    test_wall = wall_us;
    test_mono = mono_us;
}

static char *put_digits(char *at, unsigned value, int n, char after)
{
    for (int i = n - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    at[n] = after;
    return at + n + 1;
}

#define FIRST_SECOND (-INT64_C(62167219200)) /* of the years 0 and 9999 */
#define LAST_SECOND  INT64_C(253402300799)

/* By hand and not by strftime(): the audit has a time in every line. */
char *clock_format(char out[static CLOCK_TEXT], int64_t wall_us)
{
    int64_t seconds = wall_us / CLOCK_SECOND;
    int micros = (int)(wall_us % CLOCK_SECOND);
    if (micros < 0)
        micros += CLOCK_SECOND, seconds--;
    if (seconds < FIRST_SECOND || seconds > LAST_SECOND) {
        snprintf(out, CLOCK_TEXT, "(out of range)");
        return out;
    }
    /* Years that begin in March, so that the leap day is the last one; in eras of 400 years from 1 March
     * -400. */
    unsigned since = (unsigned)((seconds - FIRST_SECOND) % 86400);
    unsigned day = (unsigned)((seconds - FIRST_SECOND) / 86400) + 146037; /* 400 years less 60 days */
    unsigned era = day / 146097, of_era = day % 146097;
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * of_year + 2) / 153, year = era * 400 + year_of_era;
    char *at = put_digits(out, year + (month >= 10) - 400, 4, '-');
    at = put_digits(at, month < 10 ? month + 3 : month - 9, 2, '-');
    at = put_digits(at, of_year - (153 * month + 2) / 5 + 1, 2, 'T');
    at = put_digits(at, since / 3600, 2, ':');
    at = put_digits(at, since / 60 % 60, 2, ':');
    at = put_digits(at, since % 60, 2, micros ? '.' : 'Z');
    if (micros)
        at = put_digits(at, (unsigned)micros, 6, 'Z');
    *at = '\0';
    return out;
}

/* Exactly n digits at *at, moving past them; -1 when they are not there. */
static int take_digits(Slice text, size_t *at, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (*at >= text.len || text.ptr[*at] < '0' || text.ptr[*at] > '9')
            return -1;
        value = value * 10 + (text.ptr[*at] - '0');
    }
    return value;
}

static bool take_char(Slice text, size_t *at, const char *any)
{
    if (*at >= text.len || !text.ptr[*at] || !strchr(any, text.ptr[*at]))
        return false;
    (*at)++;
    return true;
}

static int take_fraction(Slice text, size_t *at, int64_t *ret_us)
{
    int64_t us = 0, scale = CLOCK_SECOND / 10;
    size_t start = *at;
    for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; (*at)++, scale /= 10)
        us += (text.ptr[*at] - '0') * scale;
    if (*at == start || *at - start > 18)
        return -EINVAL;
    *ret_us = us;
    return 0;
}

static int take_offset(Slice text, size_t *at, int64_t *ret_us)
{
    if (take_char(text, at, "Zz")) {
        *ret_us = 0;
        return 0;
    }
    int sign = *at < text.len && text.ptr[*at] == '-' ? -1 : 1;
    if (!take_char(text, at, "+-"))
        return -EINVAL;
    int hours = take_digits(text, at, 2);
    if (!take_char(text, at, ":"))
        return -EINVAL;
    int minutes = take_digits(text, at, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return -EINVAL;
    *ret_us = (int64_t)sign * (hours * 60 + minutes) * 60 * CLOCK_SECOND;
    return 0;
}

/* Days from 1970-01-01 to a date of that year or a later one; as in clock_format(), years begin in March. By
 * hand and not by timegm(): the clerk reads several times a line. */
static int64_t days_until(int year, int month, int day)
{
    int months = month < 3 ? month + 9 : month - 3, years = month < 3 ? year - 1 : year;
    return years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 719469;
}

static int take_date(Slice text, size_t *at, int64_t *ret_days)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = take_digits(text, at, 4), month, day;
    if (year < 1970 || !take_char(text, at, "-") || (month = take_digits(text, at, 2)) < 1 || month > 12 ||
        !take_char(text, at, "-") || (day = take_digits(text, at, 2)) < 1)
        return -EINVAL;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > days[month - 1] + (leap && month == 2))
        return -EINVAL;
    *ret_days = days_until(year, month, day);
    return 0;
}

int clock_parse(Slice text, int64_t *ret_wall_us)
{
    size_t at = 0;
    int64_t days, fraction = 0, offset = 0;
    int hour, minute, second;
    if (take_date(text, &at, &days) || !take_char(text, &at, "Tt ") ||
        (hour = take_digits(text, &at, 2)) < 0 || hour > 23 || !take_char(text, &at, ":") ||
        (minute = take_digits(text, &at, 2)) < 0 || minute > 59 || !take_char(text, &at, ":") ||
        (second = take_digits(text, &at, 2)) < 0 || second > 60)
        return -EINVAL;
    if (take_char(text, &at, ".") && take_fraction(text, &at, &fraction))
        return -EINVAL;
    if (take_offset(text, &at, &offset) || at != text.len)
        return -EINVAL;
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second;
    int64_t value = seconds * CLOCK_SECOND + fraction - offset;
    if (value < 0 || value / CLOCK_SECOND > LAST_SECOND)
        return -EINVAL; /* by its offset or a leap second, of another year than it says */
    *ret_wall_us = value;
    return 0;
}
