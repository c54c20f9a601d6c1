/* A source's rate, shared by its leases. See share.h. */
#include "lease/share.h"

#define MOST_RATE (1ll << 40) /* per 1,000 s: no product below overflows */

/* One second's worth, and never less than a request: per_kilosecond requests per 1,000 s are as many
 * thousandths a second. */
static int64_t second_of(int64_t rate)
{
    return rate > SHARE_ONE ? rate : SHARE_ONE;
}

void share_init(Share *share, uint64_t per_kilosecond, int64_t now)
{
    *share = (Share){.rate = per_kilosecond < MOST_RATE ? (int64_t)per_kilosecond : MOST_RATE, .at = now};
    share->pool = second_of(share->rate);
    LIST_INIT(&share->members);
}

static void put_into_pool(Share *share, int64_t amount)
{
    int64_t missing = second_of(share->rate) - share->pool;
    share->pool += amount < missing ? amount : missing;
}

void share_join(Share *share, ShareMember *member)
{
    *member = (ShareMember){0};
    LIST_INSERT_HEAD(&share->members, member, link);
}

void share_leave(Share *share, ShareMember *member)
{
    LIST_REMOVE(member, link);
    put_into_pool(share, member->credit);
}

/* How many want something now; one that has stopped asking gives back what it holds. */
static int64_t count_wanting(Share *share, int64_t now)
{
    int64_t n = 0;
    ShareMember *member;
    LIST_FOREACH(member, &share->members, link)
    {
        if (member->wants && now > member->until) {
            member->wants = false;
            put_into_pool(share, member->credit);
            member->credit = 0;
        }
        n += member->wants;
    }
    return n;
}

static int64_t count_open(const Share *share, int64_t most)
{
    int64_t n = 0;
    const ShareMember *member;
    LIST_FOREACH(member, &share->members, link)
    n += member->wants && member->credit < most;
    return n;
}

/* Equal parts to those that can hold more; returns what they could not. */
static int64_t deal_once(Share *share, int64_t amount, int64_t part, int64_t most)
{
    ShareMember *member;
    LIST_FOREACH(member, &share->members, link)
    {
        if (!member->wants || member->credit >= most)
            continue;
        int64_t given = part < most - member->credit ? part : most - member->credit;
        member->credit += given;
        amount -= given;
    }
    return amount;
}

/* What was borrowed is paid first. */
static void deal(Share *share, int64_t amount, int64_t n)
{
    int64_t most = second_of(n ? share->rate / n : share->rate), open;
    if (share->pool < 0) {
        int64_t paid = amount < -share->pool ? amount : -share->pool;
        share->pool += paid;
        amount -= paid;
    }
    amount += share->carry;
    share->carry = 0;
    while ((open = count_open(share, most)) && amount >= open)
        amount = deal_once(share, amount, amount / open, most);
    if (open)
        share->carry = amount;
    else
        put_into_pool(share, amount);
}

/* Deals out what the rate gave since the last time. */
static void refill(Share *share, int64_t now, int64_t n)
{
    int64_t passed = now > share->at ? now - share->at : 0, gained;
    int64_t full = (n + 3) * second_of(share->rate); /* nobody can hold more than that together */
    if (__builtin_mul_overflow(passed, share->rate, &gained) || gained / CLOCK_SECOND >= full) {
        gained = full;
        share->at += passed;
    } else {
        gained /= CLOCK_SECOND;
        /* What it took, rounded up: over many refills never more than the rate. */
        share->at += (gained * CLOCK_SECOND + share->rate - 1) / share->rate;
    }
    if (gained)
        deal(share, gained, n);
}

/* When the member's own part will have made up a request. */
static uint64_t time_until_one(const Share *share, const ShareMember *member, int64_t n)
{
    int64_t missing = (SHARE_ONE - member->credit) * n - (share->pool < 0 ? share->pool : 0);
    return (uint64_t)((missing * CLOCK_SECOND + share->rate - 1) / share->rate);
}

int share_spend(Share *share, ShareMember *member, int64_t now, uint64_t *ret_retry_us)
{
    if (share->rate == 0)
        return 0;
    int64_t n = count_wanting(share, now);
    bool fresh = !member->wants;
    refill(share, now, n);
    n += fresh;
    member->wants = true;
    int64_t missing = SHARE_ONE - member->credit;
    bool may_borrow = fresh && share->pool - missing >= -second_of(share->rate);
    if (missing > 0 && share->pool < missing && !may_borrow) {
        *ret_retry_us = time_until_one(share, member, n);
        member->until = now + (int64_t)*ret_retry_us + SHARE_WANTS_US;
        return SHARE_E_RATE;
    }
    member->until = now + SHARE_WANTS_US;
    member->credit = missing > 0 ? 0 : -missing;
    share->pool -= missing > 0 ? missing : 0;
    return 0;
}
