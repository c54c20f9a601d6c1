/* What a provider was told and cannot be called back, like no write of a store: the lock does not fence it.
 * So whoever is about to tell it does so soon after it wrote that down, while nobody can have taken the lock
 * over; and whoever comes later and needs it not to have been told waits until it cannot be under way any
 * more. See rotate-private.h. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

#define UNDER_WAY_US (120L * CLOCK_SECOND)
#define IN_TIME_US   (PLACE_STALE_US / 2)
#define POLL_US      200000

/* For tests a shorter time, never a longer one. */
static int64_t shortened(const char *name, int64_t most)
{
    const char *said = getenv(name);
    uint64_t ms;
    return said && text_parse_u64(slice_of(said), (uint64_t)most / 1000, &ms) == 0 ? (int64_t)ms * 1000
                                                                                   : most;
}

int64_t rotating_patience(void)
{
    return shortened("PURSER_TEST_ROTATE_PATIENCE_MS", UNDER_WAY_US);
}

void rotating_wait_out(Rotating *self)
{
    int64_t until = clock_mono() + rotating_patience(), now, beaten = clock_mono();
    while ((now = clock_mono()) < until) {
        if (self->place->driver->beat && now - beaten > PLACE_BEAT_US) {
            beaten = now;
            self->place->driver->beat(self->place);
        }
        say_left(&self->say, (uint64_t)(until - now));
        usleep(until - now < POLL_US ? (useconds_t)(until - now) : POLL_US);
    }
    say_left(&self->say, 0);
}

int rotating_in_time(const Rotating *self, int64_t written, Fault *fault)
{
    char age[24];
    int64_t passed = clock_boot() - written;
    if (!self->place->driver->beat || passed <= shortened("PURSER_TEST_ROTATE_IN_TIME_MS", IN_TIME_US))
        return 0;
    return fault_set(
        fault, -ESTALE,
        "this process stood still for %s, in which another may have taken over, so the provider was told "
        "nothing: `purser rotate %s --resume` goes on",
        text_human_duration(age, (uint64_t)passed), self->source);
}
