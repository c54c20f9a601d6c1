/* The clocks, in microseconds, and their text form. Everything in purser asks these, so that a test can
 * set them. wall: UTC since 1970, for what people and databases read; it may jump. mono: for deadlines and
 * durations; never jumps. boot: the same, and it goes on while the machine sleeps.
 */
#pragma once

#include "base/slice.h"

#define CLOCK_SECOND 1000000
#define CLOCK_TEXT   32 /* room for clock_format(), with its NUL */

int64_t clock_wall(void);
int64_t clock_mono(void);
int64_t clock_boot(void);

/* Tests: the clocks stand at these values until set again; negative: the real clocks. */
void clock_set_for_test(int64_t wall_us, int64_t mono_us);

/* RFC 3339 in UTC: 2020-06-05T14:11:38Z, with .ffffff when there is a fraction. */
char *clock_format(char out[static CLOCK_TEXT], int64_t wall_us);

/* RFC 3339 with any offset and fraction ('T' or one space between date and time); the year 1970 to 9999.
 * -EINVAL otherwise. */
int clock_parse(Slice text, int64_t *ret_wall_us) MUST_USE;
