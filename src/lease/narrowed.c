/* What narrowed leases have spent. See narrowed.h. */
#include "lease/narrowed.h"

#include "base/mem.h"

void narrowed_done(Narrowed *narrowed)
{
    mem_free(narrowed->place);
    *narrowed = (Narrowed){0};
}

static bool same(const LeasePlace *a, const LeasePlace *b)
{
    return memcmp(a->hash, b->hash, LEASE_PLACE) == 0; /* not secret: a hash of the tag, which stays there */
}

static NarrowedPlace *find(const Narrowed *narrowed, const LeasePlace *place)
{
    for (size_t i = 0; i < narrowed->n; i++) {
        NarrowedPlace *one = &narrowed->place[i];
        if (one->used && same(&one->chain[one->depth - 1], place))
            return one;
    }
    return NULL;
}

static NarrowedPlace *find_free(Narrowed *narrowed)
{
    for (size_t i = 0; i < narrowed->n; i++)
        if (!narrowed->place[i].used)
            return &narrowed->place[i];
    if (narrowed->n == NARROWED_MAX)
        return NULL;
    MEM_PUSH(narrowed->place, narrowed->n, (NarrowedPlace){0});
    return &narrowed->place[narrowed->n - 1];
}

/* The memory of the place at `at`, made when there is none yet; NULL: there is no room. */
static NarrowedPlace *find_or_make(Narrowed *narrowed, const Narrowing *narrowing, size_t at)
{
    NarrowedPlace *place = find(narrowed, &narrowing->place[at]);
    if (!place && (place = find_free(narrowed))) {
        *place = (NarrowedPlace){.used = true, .depth = at + 1};
        memcpy(place->chain, narrowing->place, (at + 1) * sizeof(LeasePlace));
    }
    return place;
}

bool narrowed_is_revoked(const Narrowed *narrowed, const Narrowing *narrowing)
{
    for (size_t i = 0; i < narrowing->n && narrowed->n; i++) {
        const NarrowedPlace *place = find(narrowed, &narrowing->place[i]);
        if (place && place->revoked)
            return true;
    }
    return false;
}

uint64_t narrowed_requests_left(const Narrowed *narrowed, const Narrowing *narrowing, size_t at)
{
    const NarrowedPlace *place = find(narrowed, &narrowing->place[at]);
    uint64_t limit = narrowing->requests[at], spent = place ? place->requests : 0;
    return limit == NARROWED_NO_LIMIT ? limit : limit > spent ? limit - spent : 0;
}

uint64_t narrowed_bytes_left(const Narrowed *narrowed, const Narrowing *narrowing, size_t at)
{
    const NarrowedPlace *place = find(narrowed, &narrowing->place[at]);
    uint64_t limit = narrowing->bytes[at], spent = place ? place->bytes : 0;
    return limit == NARROWED_NO_LIMIT ? limit : limit > spent ? limit - spent : 0;
}

/* Every place that counts something has its memory before anything is spent. */
static int make_room(Narrowed *narrowed, const Narrowing *narrowing, size_t *ret_at)
{
    for (size_t i = 0; i < narrowing->n; i++) {
        bool counts = narrowing->requests[i] != NARROWED_NO_LIMIT || narrowing->bytes[i] != NARROWED_NO_LIMIT;
        *ret_at = i;
        if (counts && !find_or_make(narrowed, narrowing, i))
            return NARROWED_E_FULL;
    }
    return 0;
}

int narrowed_spend_request(Narrowed *narrowed, const Narrowing *narrowing, size_t *ret_at)
{
    for (size_t i = 0; i < narrowing->n; i++) {
        *ret_at = i;
        if (narrowed_requests_left(narrowed, narrowing, i) == 0)
            return NARROWED_E_REQUESTS;
        if (narrowed_bytes_left(narrowed, narrowing, i) == 0)
            return NARROWED_E_BYTES;
    }
    int r = make_room(narrowed, narrowing, ret_at);
    for (size_t i = 0; !r && i < narrowing->n; i++) {
        NarrowedPlace *place = find(narrowed, &narrowing->place[i]);
        if (place && narrowing->requests[i] != NARROWED_NO_LIMIT)
            place->requests++;
    }
    return r;
}

void narrowed_return_request(Narrowed *narrowed, const Narrowing *narrowing)
{
    for (size_t i = 0; i < narrowing->n; i++) {
        NarrowedPlace *place = find(narrowed, &narrowing->place[i]);
        if (place && narrowing->requests[i] != NARROWED_NO_LIMIT && place->requests)
            place->requests--;
    }
}

int narrowed_ask_received(const Narrowed *narrowed, const Narrowing *narrowing, uint64_t bytes)
{
    for (size_t i = 0; i < narrowing->n; i++)
        if (narrowing->bytes[i] != NARROWED_NO_LIMIT && bytes > narrowed_bytes_left(narrowed, narrowing, i))
            return NARROWED_E_BYTES;
    return 0;
}

int narrowed_spend_received(Narrowed *narrowed, const Narrowing *narrowing, uint64_t bytes)
{
    int r = narrowed_ask_received(narrowed, narrowing, bytes);
    for (size_t i = 0; !r && i < narrowing->n; i++) {
        NarrowedPlace *place =
            narrowing->bytes[i] == NARROWED_NO_LIMIT ? NULL : find(narrowed, &narrowing->place[i]);
        if (place)
            place->bytes += bytes;
    }
    return r;
}

static bool is_beneath(const NarrowedPlace *place, const LeasePlace *above, size_t depth)
{
    return place->used && place->depth > depth && same(&place->chain[depth - 1], above);
}

int narrowed_revoke(Narrowed *narrowed, const Narrowing *narrowing)
{
    const LeasePlace *self = &narrowing->place[narrowing->n - 1];
    if (narrowed_is_revoked(narrowed, narrowing))
        return 0;
    for (size_t i = 0; i < narrowed->n; i++)
        if (is_beneath(&narrowed->place[i], self, narrowing->n))
            narrowed->place[i] = (NarrowedPlace){0};
    NarrowedPlace *place = find_or_make(narrowed, narrowing, narrowing->n - 1);
    if (!place)
        return NARROWED_E_FULL;
    place->revoked = true;
    return 0;
}
