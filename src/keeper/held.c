/* Tokens as they are held. See held.h. */
#include "keeper/held.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/hold.h"
#include "keeper/token.h"
#include "keeper/watch.h"
#include "store/plan.h"

#include <errno.h>

#define CLOSE_US   (2L * CLOCK_SECOND)
#define CHANGED_US 50000 /* several writes in a row are read once */

static void plan(Held *held, int64_t next)
{
    int64_t now = clock_mono(), at = next;
    int64_t stale = held->store && held->store->life.refresh && !held->dies
                        ? held->confirmed + (int64_t)held->store->life.max_stale
                        : INT64_MAX;
    held->next = next;
    if (held->token.token && held->dies && (!at || held->dies < at))
        at = held->dies;
    if (held->token.token && stale < INT64_MAX && (!at || stale < at))
        at = stale;
    evtimer_del(&held->timer);
    if (!at)
        return;
    int64_t wait = at > now ? at - now : 0;
    struct timeval time = {(time_t)(wait / CLOCK_SECOND), (suseconds_t)(wait % CLOCK_SECOND)};
    evtimer_add(&held->timer, &time);
}

/* The list is taken first: who is called may wait again. */
static void wake(Held *held)
{
    HeldWaiter *waiter = STEAL(held->waiter);
    size_t n = held->n_waiter;
    held->n_waiter = 0;
    for (size_t i = 0; i < n; i++)
        waiter[i].done(waiter[i].context, held);
    mem_free(waiter);
}

static void drop(Held *held)
{
    stored_token_done(&held->token);
    held->dies = held->expires = 0;
}

/* What a lease's length means for when it is renewed and when it is dead. */
static void take_life(Held *held, uint64_t life)
{
    int64_t now = clock_mono();
    held->confirmed = now;
    held->dies = life ? now + (int64_t)life : 0;
    held->expires = life ? clock_wall() + (int64_t)life : 0;
}

static int64_t next_call(Held *held)
{
    uint64_t seed = held->keeper->seed, life = held->dies ? (uint64_t)(held->dies - held->confirmed) : 0;
    if (life)
        return held->confirmed + (int64_t)plan_renew(seed, held->turn++, life);
    uint64_t refresh = held->store ? held->store->life.refresh : 0;
    return refresh ? held->confirmed + (int64_t)plan_refresh(seed, held->turn++, refresh) : 0;
}

static void take_token(Held *held, StoreResult *result)
{
    bool same = secret_same(held->token.token, result->token.token);
    stored_token_done(&held->token);
    held->token = result->token;
    result->token = (StoredToken){0};
    held->fault.text[0] = 0;
    held->failures = 0;
    held->was_outage = held->revoked = false;
    held->settled = true;
    take_life(held, held->token.life);
    token_changed(held, !same);
    plan(held, next_call(held));
}

/* A store that does not work is asked again soon; one that says no, as often as it is read anyway. */
static void take_failure(Held *held, const StoreResult *result)
{
    int64_t now = clock_mono();
    bool revoked = result->result == STORE_E_REVOKED, gone = revoked || result->result == STORE_E_ABSENT;
    /* One that has just come back may not know its own rules for a moment. */
    bool coming = result->result == STORE_E_DENIED && held->was_outage && !held->settled;
    bool away = store_is_away(result->result), outage = away || coming;
    held->was_outage = away || (coming && held->failures < 8);
    held->failures++;
    held->fault = result->fault;
    bool had = held->token.token != NULL;
    if (gone) /* deleted on purpose; whatever else is wrong, the token may still be good */
        drop(held);
    uint64_t wait = plan_retry(held->keeper->seed, held->failures, result->retry_after);
    if (!outage && held->store && held->store->life.refresh && held->store->life.refresh > wait)
        wait = held->store->life.refresh;
    int64_t patience = held->begun + (int64_t)held->keeper->patience - now;
    bool tried_enough = patience <= 0 || result->result == STORE_E_UNTRUSTED;
    if (!held->settled && outage && patience > 0 && (int64_t)wait > patience)
        wait = (uint64_t)patience; /* a last try, before its runs are told */
    bool news = (gone && (had || revoked != held->revoked)) || (!held->settled && (!outage || tried_enough));
    held->settled |= !outage || tried_enough;
    if (gone)
        held->revoked = revoked;
    token_failed(held, result->result);
    if (news)
        token_changed(held, true);
    plan(held, held->store && held->store->life.refresh ? now + (int64_t)wait : 0);
}

static void on_fetched(void *context, StoreResult *result)
{
    Held *held = context;
    held->call = HELD_RESTS;
    held->calls += result->calls;
    held->keeper->opened = true;
    keeper_mind_clock(held->keeper);
    if (result->result == 0)
        take_token(held, result);
    else
        take_failure(held, result);
    if (held->again) { /* what has come may be older than what was asked for */
        held->again = false;
        held_read_now(held);
        return;
    }
    hold_was_read(held, result->result == 0);
    if (held->changed)
        held_changed(held);
    watch_begin(held);
    if (held->settled) {
        wake(held);
        token_settled(held->keeper);
    }
}

void held_changed(Held *held)
{
    int64_t soon = clock_mono() + CHANGED_US, again = held->asked + CLOCK_SECOND;
    held->changed = held->call != HELD_RESTS;
    if (!held->changed)
        plan(held, soon > again ? soon : again);
}

static void fetch(Held *held)
{
    held->call = HELD_FETCHES;
    held->changed = false;
    held->asked = clock_mono();
    held->keeper->opened = true;
    if (!token_may_mint(held)) {
        StoreResult result = {.result = STORE_E_OUTAGE};
        fault_set(&result.fault, 0, "no token is minted while the audit cannot be written");
        on_fetched(held, &result);
        return;
    }
    stores_fetch(&held->keeper->stores, &held->ref, on_fetched, held);
}

static void on_renewed(void *context, StoreResult *result)
{
    Held *held = context;
    held->call = HELD_RESTS;
    held->calls += result->calls;
    if (!held->token.token) /* it died, or was dropped, meanwhile */
        return;
    if (result->result == 0 && result->token.life) {
        /* A renewal that gives less than half of what there was is the last one: its maximum is near. */
        held->token.renewable = result->token.life >= held->token.life / 2;
        held->renewed++;
        held->failures = 0;
        take_life(held, result->token.life);
        token_changed(held, false);
        plan(held, next_call(held));
        return;
    }
    held->failures++;
    held->fault = result->fault;
    token_failed(held, result->result ? result->result : STORE_E_DENIED);
    bool away = store_is_away(result->result);
    if (!away)
        held->token.renewable = false;
    uint64_t wait = away ? plan_retry(held->keeper->seed, held->failures, result->retry_after) : 0;
    plan(held, clock_mono() + (int64_t)wait);
}

static void renew(Held *held)
{
    held->call = HELD_RENEWS;
    held->store->driver->renew(held->store, &held->ref, &held->token, on_renewed, held);
}

/* What a token is no longer good for, it is not used for. */
static void check_age(Held *held, int64_t now)
{
    bool dead = held->dies && now >= held->dies;
    const StoreLife *life = held->store ? &held->store->life : NULL;
    bool stale = life && life->refresh && now - held->confirmed >= (int64_t)life->max_stale && !held->dies;
    if (!held->token.token || (!dead && !stale) || held->call == HELD_RENEWS || held->call == HELD_GIVES_BACK)
        return;
    Fault why = held->fault;
    fault_set(&held->fault, 0, "%s%s%s",
              dead ? "its time is over and it could not be renewed"
                   : "its store has not confirmed it for longer than maxStale, so it is used no more",
              why.text[0] ? ": " : "", why.text);
    drop(held);
    token_failed(held, STORE_E_OUTAGE);
    token_changed(held, true);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    Held *held = context;
    int64_t now = clock_mono();
    (void)fd, (void)what;
    check_age(held, now);
    if (held->call == HELD_RESTS && held->next && now >= held->next) {
        held->next = 0;
        if (held->token.token && held->token.renewable && held->store->driver->renew)
            renew(held);
        else
            fetch(held);
        if (held->call != HELD_RESTS)
            plan(held, 0);
        return;
    }
    plan(held, held->call == HELD_RESTS ? held->next : 0);
}

Held *held_get(Keeper *keeper, const TokenRef *ref)
{
    Held *held;
    TAILQ_FOREACH(held, &keeper->held, link)
    {
        if (token_ref_equal(&held->ref, ref))
            return held;
    }
    held = MEM_NEW(Held);
    *held = (Held){.keeper = keeper, .ref = token_ref_dup(ref), .store = keeper->stores.store[ref->kind]};
    evtimer_assign(&held->timer, keeper->base, on_timer, held);
    TAILQ_INSERT_TAIL(&keeper->held, held, link);
    return held;
}

void held_start(Held *held)
{
    if (held->call != HELD_RESTS || held->settled || held->next)
        return;
    held->begun = clock_mono();
    int64_t wait = held->store ? (int64_t)plan_first(held->keeper->seed, held->store->life.spread) : 0;
    if (!wait) {
        fetch(held);
        return;
    }
    held->begun += wait;
    plan(held, held->begun);
}

bool held_is_settled(const Held *held)
{
    return held->settled && (held->token.token || held->call != HELD_FETCHES);
}

void held_wait(Held *held, HeldDone *done, void *context)
{
    if (held_is_settled(held))
        done(context, held);
    else
        MEM_PUSH(held->waiter, held->n_waiter, (HeldWaiter){done, context});
}

void held_forget_waiter(Held *held, void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < held->n_waiter; i++)
        if (held->waiter[i].context != context)
            held->waiter[kept++] = held->waiter[i];
    held->n_waiter = kept;
}

void held_read_again(Held *held, HeldDone *done, void *context)
{
    held_read_since(held, HELD_AGAIN_US, done, context);
}

void held_read_since(Held *held, int64_t age, HeldDone *done, void *context)
{
    bool soon = held->asked && clock_mono() - held->asked < age;
    bool fixed = !held->store || !held->store->life.refresh;
    if (held->hold.until && done) { /* its successor is on its way */
        MEM_PUSH(held->waiter, held->n_waiter, (HeldWaiter){done, context});
        return;
    }
    if (held->call != HELD_FETCHES && (soon || fixed || held->call != HELD_RESTS)) {
        if (done)
            done(context, held);
        return;
    }
    if (done)
        MEM_PUSH(held->waiter, held->n_waiter, (HeldWaiter){done, context});
    if (held->call == HELD_RESTS)
        fetch(held);
}

/* Of what is minted, where that comes from which it is minted with. */
static void forget(const Held *held)
{
    StoreKind kind = held->ref.mint ? held->ref.mint->secret.kind : held->ref.kind;
    Store *store = held->keeper->stores.store[kind];
    if (store && store->driver->forget)
        store->driver->forget(store);
}

void held_read_now(Held *held)
{
    if (held->call != HELD_RESTS) {
        held->again = true;
        return;
    }
    if (!held->store) {
        hold_was_read(held, false);
        return;
    }
    forget(held);
    fetch(held);
}

void held_hold_ended(Held *held)
{
    if (held->call != HELD_FETCHES)
        wake(held);
}

void held_enter(Held *held)
{
    held->runs++;
    if (held->token.token || held->call == HELD_FETCHES || held->failures || held->next)
        return;
    held->settled = false;
    held->begun = clock_mono();
    if (held->call == HELD_RESTS)
        fetch(held);
}

static void on_given_back(void *context, StoreResult *result)
{
    Held *held = context;
    held->call = HELD_RESTS;
    held->calls += result->calls;
    token_given_back(held, result);
    if (held->keeper->closing) {
        held->keeper->closing--;
        return;
    }
    drop(held);
    if (held->runs) { /* a new run has come meanwhile */
        held->settled = false;
        held->begun = clock_mono();
        fetch(held);
    }
}

static bool can_give_back(const Held *held)
{
    return held->token.token && held->token.leased && held->store && held->store->driver->give_back &&
           held->call == HELD_RESTS;
}

static void give_back(Held *held)
{
    held->call = HELD_GIVES_BACK;
    evtimer_del(&held->timer);
    held->next = 0;
    held->store->driver->give_back(held->store, &held->ref, &held->token, on_given_back, held);
}

void held_leave(Held *held)
{
    if (--held->runs || !can_give_back(held))
        return;
    token_withdrawn(held);
    give_back(held);
}

static void on_closed(void *context, StoreResult *result)
{
    Keeper *keeper = context;
    if (result->result)
        log_warning("a login could not be given back, and lives until its own time is over: %s",
                    result->fault.text);
    keeper->closing--;
}

static void run_until_closed(Keeper *keeper)
{
    int64_t until = clock_mono() + CLOSE_US;
    struct timeval most = {CLOSE_US / CLOCK_SECOND, 0};
    struct event *end = evtimer_new(keeper->base, token_nothing, NULL);
    evtimer_add(end, &most);
    while (keeper->closing && clock_mono() < until && event_base_loop(keeper->base, EVLOOP_ONCE) == 0)
        ;
    event_free(end);
}

void held_close_all(Keeper *keeper)
{
    Held *held;
    if (!keeper->client)
        return;
    store_client_closing(keeper->client);
    keeper->closing = 1; /* ours, until all have begun */
    TAILQ_FOREACH(held, &keeper->held, link)
    {
        evtimer_del(&held->timer);
        if (!can_give_back(held))
            continue;
        keeper->closing++;
        give_back(held);
    }
    keeper->closing--;
    run_until_closed(keeper);
    keeper->closing = 1;
    for (size_t i = 0; i < STORE_KINDS; i++) {
        Store *store = keeper->stores.store[i];
        if (!store || !store->driver->close)
            continue;
        keeper->closing++;
        store->driver->close(store, on_closed, keeper);
    }
    keeper->closing--;
    run_until_closed(keeper);
}

void held_free_all(Keeper *keeper)
{
    for (Held *held; (held = TAILQ_FIRST(&keeper->held));) {
        TAILQ_REMOVE(&keeper->held, held, link);
        evtimer_del(&held->timer);
        watch_free(held->watch);
        stored_token_done(&held->token);
        token_ref_done(&held->ref);
        mem_free(held->waiter);
        mem_free(held);
    }
}
