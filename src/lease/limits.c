/* The provider's own limits of one source. See limits.h. */
#include "lease/limits.h"

#include "base/clock.h"

#include <stdio.h>

#define SAME_WINDOW_US                                                                                       \
    (2ll * CLOCK_SECOND) /* resets that are as near as that are one: told in whole seconds */

bool limits_is_current(const Limit *limit, int64_t now)
{
    return limit->remaining != HTTP_LIMIT_UNKNOWN && now < limit->reset;
}

uint64_t limits_reserved(const Limits *limits, const Limit *limit)
{
    uint64_t part = 0;
    if (limit->limit != HTTP_LIMIT_UNKNOWN && limits->reserve_percent)
        part =
            limit->limit / 100 * limits->reserve_percent + limit->limit % 100 * limits->reserve_percent / 100;
    return part > limits->reserve ? part : limits->reserve;
}

/* The place of a kind; else one that is free, or that of the kind that was asked for longest ago. */
static struct LimitsKind *place_of(Limits *limits, uint32_t kind)
{
    struct LimitsKind *place = &limits->kind[0];
    for (size_t i = 0; i < LIMITS_KINDS; i++) {
        struct LimitsKind *one = &limits->kind[i];
        if (one->limit && one->kind == kind)
            return one;
        if (place->limit && (!one->limit || one->asked < place->asked))
            place = one;
    }
    return place;
}

static Limit *limit_of_kind(Limits *limits, uint32_t kind, int64_t now, LimitsTicket *ret_ticket)
{
    struct LimitsKind *place = place_of(limits, kind);
    *ret_ticket = (LimitsTicket){0};
    if (place->limit == 0 || place->kind != kind)
        return NULL;
    place->asked = now;
    ret_ticket->limit = place->limit;
    return &limits->limit[place->limit - 1];
}

static uint64_t until(int64_t then, int64_t now)
{
    int64_t left = then - now;
    return left > LIMITS_LONGEST_US ? LIMITS_LONGEST_US : left > 0 ? (uint64_t)left : 0;
}

int limits_ask(Limits *limits, uint32_t kind, int64_t now, LimitsTicket *ret_ticket, const Limit **ret_limit,
               uint64_t *ret_retry_us)
{
    LimitsTicket ticket;
    Limit *limit = limit_of_kind(limits, kind, now, &ticket);
    *ret_limit = NULL;
    *ret_ticket = (LimitsTicket){0};
    if (now < limits->paused) {
        *ret_retry_us = until(limits->paused, now);
        return LIMITS_E_PAUSED;
    }
    if (limit && limits_is_current(limit, now)) {
        uint64_t reserved = limits_reserved(limits, limit);
        *ret_limit = limit;
        *ret_retry_us = until(limit->reset, now);
        if (limit->remaining <= reserved)
            return limit->remaining ? LIMITS_E_RESERVED : LIMITS_E_NONE_LEFT;
        *ret_retry_us = CLOCK_SECOND; /* what is under way will have been counted soon */
        if (limit->remaining - reserved <= limit->flying)
            return reserved ? LIMITS_E_RESERVED : LIMITS_E_NONE_LEFT;
    }
    if (limit)
        limit->flying++;
    *ret_ticket = ticket;
    return 0;
}

void limits_end(Limits *limits, LimitsTicket *ticket)
{
    if (ticket->limit && limits->limit[ticket->limit - 1].flying)
        limits->limit[ticket->limit - 1].flying--;
    ticket->limit = 0;
}

/* The limit of that name; else a new one, or the place of the one that was told longest ago and is not in
 * use. */
static Limit *find(Limits *limits, Slice name)
{
    Limit *oldest = NULL;
    if (name.len > LIMITS_MAX_NAME)
        name.len = LIMITS_MAX_NAME;
    for (size_t i = 0; i < limits->n; i++) {
        Limit *limit = &limits->limit[i];
        if (slice_is(name, limit->name))
            return limit;
        if (limit->flying == 0 && (!oldest || limit->told < oldest->told))
            oldest = limit;
    }
    Limit *limit = limits->n < LIMITS_MAX ? &limits->limit[limits->n++] : oldest;
    if (limit) {
        for (size_t i = 0; i < LIMITS_KINDS; i++)
            if (limits->kind[i].limit == (uint32_t)(limit - limits->limit) + 1)
                limits->kind[i].limit = 0;
        *limit =
            (Limit){.limit = HTTP_LIMIT_UNKNOWN, .remaining = HTTP_LIMIT_UNKNOWN, .used = HTTP_LIMIT_UNKNOWN};
        memcpy(limit->name, name.ptr, name.len);
    }
    return limit;
}

/* What became of a limit since its last answer. */
static uint64_t rise(const Limit *limit, const HttpLimit *said, bool same_window)
{
    if (!same_window || said->used == HTTP_LIMIT_UNKNOWN || limit->used == HTTP_LIMIT_UNKNOWN ||
        said->used <= limit->used)
        return 1;
    return said->used - limit->used;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* "core", "graphql", "graphql/user": cut. */
static Slice name_of(const char *area, Slice name, char room[LIMITS_MAX_NAME + 1])
{
    if (!area[0])
        return name;
    if (name.len == 0 || slice_is(name, area))
        return slice_of(area);
    snprintf(room, LIMITS_MAX_NAME + 1, "%s/%.*s", area, (int)(name.len < 64 ? name.len : 64), name.ptr);
    return slice_of(room);
}

/* Answers may overtake each other: within one window the lesser number is the later one. */
static uint64_t take(Limits *limits, const char *area, const HttpLimit *said, int64_t now,
                     uint32_t *ret_index)
{
    char room[LIMITS_MAX_NAME + 1];
    Limit *limit = find(limits, name_of(area, said->name, room));
    if (!limit)
        return 1;
    int64_t reset = now + (said->reset >= 0 ? (int64_t)until(said->reset, 0) : 0);
    int64_t apart = reset > limit->reset ? reset - limit->reset : limit->reset - reset;
    bool same_window = limits_is_current(limit, now) && apart <= SAME_WINDOW_US;
    uint64_t cost = rise(limit, said, same_window);
    limit->remaining = same_window ? least(limit->remaining, said->remaining) : said->remaining;
    limit->used = same_window && limit->used != HTTP_LIMIT_UNKNOWN && said->used != HTTP_LIMIT_UNKNOWN &&
                          limit->used > said->used
                      ? limit->used
                      : said->used;
    limit->limit = said->limit;
    limit->reset = same_window ? limit->reset : reset;
    limit->told = now;
    *ret_index = (uint32_t)(limit - limits->limit) + 1;
    return cost;
}

/* Who said what: the one of which least is left is what the next request of that kind is held against. */
static uint32_t scarcest(const Limits *limits, uint32_t a, uint32_t b)
{
    if (!a || !b)
        return a ? a : b;
    return limits->limit[b - 1].remaining < limits->limit[a - 1].remaining ? b : a;
}

uint64_t limits_note(Limits *limits, uint32_t kind, const char *area, const HttpLimits *said, int status,
                     int64_t now)
{
    uint32_t held = 0;
    uint64_t cost = 1;
    for (size_t i = 0; i < said->n; i++) {
        uint32_t index = 0;
        uint64_t rose = take(limits, area, &said->limit[i], now, &index);
        cost = i == 0 ? rose : cost;
        held = scarcest(limits, held, index);
    }
    if (held)
        *place_of(limits, kind) = (struct LimitsKind){kind, held, now};
    if ((status == 403 || status == 429) && said->retry_after > 0) {
        int64_t then = now + (int64_t)until(said->retry_after, 0);
        Limit *limit = held ? &limits->limit[held - 1] : NULL;
        if (limit && limit->remaining == 0)
            limit->reset = then > limit->reset ? then : limit->reset;
        else
            limits->paused = then > limits->paused ? then : limits->paused;
    }
    return said->cost != HTTP_LIMIT_UNKNOWN ? said->cost : cost;
}
