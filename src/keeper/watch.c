/* Watching stores. See watch.h. */
#include "keeper/watch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/plan.h"

struct Watch {
    Held *held;
    struct event timer;
    bool on, denied;
    unsigned failures;
};

static void later(Watch *watch, uint64_t us)
{
    struct timeval time = {(time_t)(us / CLOCK_SECOND), (suseconds_t)(us % CLOCK_SECOND)};
    evtimer_add(&watch->timer, &time);
}

static void on_changed(void *context)
{
    const Watch *watch = context;
    held_changed(watch->held);
}

/* The server ends each after minutes; from the version that was read last, nothing in between is missed. */
static void on_ended(void *context, StoreResult *result)
{
    Watch *watch = context;
    Keeper *keeper = watch->held->keeper;
    watch->on = false;
    keeper->watches--;
    watch->denied = result->result && !store_is_away(result->result);
    watch->failures = result->result ? watch->failures + 1 : 0;
    if (!watch->denied)
        later(watch, plan_retry(keeper->seed, watch->failures + 1, result->retry_after));
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    Watch *watch = context;
    Held *held = watch->held;
    (void)fd, (void)what;
    if (held->keeper->watches >= WATCH_MOST || held->keeper->closing)
        return;
    watch->on = true;
    held->keeper->watches++;
    held->store->driver->watch(held->store, &held->ref, held->token.version, on_changed, on_ended, watch);
}

void watch_begin(Held *held)
{
    if (!held->store || !held->store->driver->watch || held->watch)
        return;
    held->watch = MEM_NEW(Watch);
    *held->watch = (Watch){.held = held};
    evtimer_assign(&held->watch->timer, held->keeper->base, on_timer, held->watch);
    later(held->watch, WATCH_AFTER_US);
}

Watch *watch_free(Watch *watch)
{
    if (!watch)
        return NULL;
    evtimer_del(&watch->timer);
    mem_free(watch);
    return NULL;
}
