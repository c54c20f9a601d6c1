/* When the calls to a store come. See plan.h. */
#include "store/plan.h"

#define SECOND         1000000ull
#define MOST_RETRY_S   60u
#define MOST_ASKED_FOR 300u

/* SplitMix64: every bit of the seed matters to every bit of the result. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

/* Between 0 and `width`, by what and when it is for. */
static uint64_t pick(uint64_t seed, uint64_t what, unsigned turn, uint64_t width)
{
    return width ? mix(mix(seed ^ what) ^ turn) % width : 0;
}

uint64_t plan_seed(const char *name)
{
    uint64_t hash = 14695981039346656037ull; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 1099511628211ull;
    return mix(hash);
}

uint64_t plan_first(uint64_t seed, uint64_t spread)
{
    return pick(seed, 1, 0, spread);
}

uint64_t plan_renew(uint64_t seed, unsigned turn, uint64_t life)
{
    return life / 2 + pick(seed, 2, turn, life / 6);
}

uint64_t plan_refresh(uint64_t seed, unsigned turn, uint64_t refresh)
{
    return refresh - refresh / 5 + pick(seed, 3, turn, refresh / 5);
}

uint64_t plan_retry(uint64_t seed, unsigned failures, uint32_t retry_after)
{
    unsigned steps = failures > 7 ? 6 : failures > 0 ? failures - 1 : 0;
    uint64_t wait = (1ull << steps) > MOST_RETRY_S ? MOST_RETRY_S * SECOND : (1ull << steps) * SECOND;
    wait = wait / 2 + pick(seed, 4, failures, wait / 2);
    uint64_t asked = (retry_after > MOST_ASKED_FOR ? MOST_ASKED_FOR : retry_after) * SECOND;
    return asked > wait ? asked + pick(seed, 5, failures, SECOND) : wait;
}
