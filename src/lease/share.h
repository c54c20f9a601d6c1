/* A source's rate (`rate:` in purser.yaml), shared by its leases. What the rate gives is dealt out in equal
 * parts to the leases that want something (that asked within the last SHARE_WANTS_US, or were told to wait);
 * each may hold one second of its part, what it cannot hold goes to the others, and what nobody can hold to a
 * common pool of one second's worth, out of which whoever comes first is served. So a lease with many
 * requests has the whole rate while it is alone, and no more than its part while others want theirs. One that
 * asks again after a while may borrow its first request from the pool's future, so that who asks seldom need
 * not wait for who asks often. Nothing is queued: who is over its part is told when to come again. Pure
 * arithmetic on a clock that is passed in.
 */
#pragma once

#include "base/clock.h"

#include <sys/queue.h>

#define SHARE_WANTS_US (5ll * CLOCK_SECOND)
#define SHARE_ONE      1000 /* a request, in thousandths */

/* One lease. */
typedef struct ShareMember {
    int64_t credit; /* thousandths of a request */
    bool wants;
    int64_t until; /* mono, us: then it has stopped wanting, unless it asks again */
    LIST_ENTRY(ShareMember) link;
} ShareMember;

LIST_HEAD(ShareMembers, ShareMember);

typedef struct Share {
    int64_t rate;  /* per 1,000 s; 0: no limit, and nothing below counts */
    int64_t pool;  /* thousandths of a request; below 0: borrowed, one second's worth at most */
    int64_t carry; /* too little to be dealt out in equal parts */
    int64_t at;    /* mono, us: dealt out until then */
    struct ShareMembers members;
} Share;

void share_init(Share *share, uint64_t per_kilosecond, int64_t now);
void share_join(Share *share, ShareMember *member);
void share_leave(Share *share, ShareMember *member); /* what it holds goes to the pool */

enum { SHARE_E_RATE = 1 };

/* Spends one request of the source's rate. SHARE_E_RATE: *ret_retry_us says when one is its own. */
int share_spend(Share *share, ShareMember *member, int64_t now, uint64_t *ret_retry_us) MUST_USE;
