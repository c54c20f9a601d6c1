/* A token as the keeper holds it, by where it is kept: fetched once for all sources that name it, read again
 * or renewed, dropped when it is dead, was deleted, or was not confirmed by its store for too long; given
 * back when it was leased and no run uses it any more. docs/outages.md is what this does when a store fails.
 */
#pragma once

#include "keeper/keeper.h"

typedef enum HeldCall { HELD_RESTS, HELD_FETCHES, HELD_RENEWS, HELD_GIVES_BACK } HeldCall;

/* Called once: the call that was waited for has ended, whatever came of it. */
typedef void HeldDone(void *context, Held *held);

typedef struct HeldWaiter {
    HeldDone *done;
    void *context;
} HeldWaiter;

/* What a rotation has asked for: hold.h. */
typedef enum HoldRead { HOLD_RESTS, HOLD_READS, HOLD_WAS_READ, HOLD_NOT_READ } HoldRead;

typedef struct Hold {
    int64_t until;    /* mono: new requests wait; 0: they do not */
    int64_t drain_by; /* mono: what is under way is waited for no longer */
    uint32_t source;  /* that was named */
    bool says_held;   /* it is to be said when nothing is under way */
    HoldRead read;
} Hold;

struct Held {
    Keeper *keeper;
    TokenRef ref;
    Store *store;      /* NULL: there is none of that kind */
    HeldCall call;     /* under way */
    bool settled;      /* how the first fetch ended is known, or it was tried for long enough */
    StoredToken token; /* .token NULL: there is none, and `fault` says why */
    Fault fault;
    int64_t begun;     /* mono: the first try of the fetch that is not settled */
    int64_t confirmed; /* mono: the store said last that this is the token */
    int64_t asked;     /* mono: the last fetch began */
    int64_t dies;      /* mono; 0: never */
    int64_t next;      /* mono: the next call; 0: none is planned */
    int64_t expires;   /* wall, for people; 0: never */
    unsigned failures; /* one after the other */
    bool was_outage;   /* the last of them */
    bool revoked;      /* there is none since the store has a revocation's mark */
    unsigned renewed, turn;
    uint64_t calls;   /* to the store */
    uint64_t counted; /* of these, in the reports of runs */
    unsigned runs;    /* that use it */
    Hold hold;
    bool again;   /* another fetch follows the one that is under way */
    bool changed; /* the store has said so since the fetch that is under way began */
    struct Watch *watch;
    HeldWaiter *waiter;
    size_t n_waiter;
    struct event timer;
    TAILQ_ENTRY(Held) link;
};

Held *held_get(Keeper *keeper, const TokenRef *ref); /* the one there is, or a new one that rests */
void held_start(Held *held);                         /* the first fetch; nothing when there was one */

/* Waits for the end of the first fetch, or of the call that is under way; at once if there is none. */
void held_wait(Held *held, HeldDone *done, void *context);
void held_forget_waiter(Held *held, void *context);
bool held_is_settled(const Held *held);

/* Reads the store again now, unless that was done within HELD_AGAIN_US: then done() is called at once. */
#define HELD_AGAIN_US (10L * 1000000)
void held_read_again(Held *held, HeldDone *done, void *context);
/* The same, unless it was done within `age` us. */
void held_read_since(Held *held, int64_t age, HeldDone *done, void *context);

/* By a call that begins now, or when the one that is under way has ended; hold_was_read() is called then. */
void held_read_now(Held *held);
void held_hold_ended(Held *held); /* who waited for a fetch that nobody began is answered */
/* The store says that it may be another one now: it is read, once a second at most. */
void held_changed(Held *held);

void held_enter(Held *held); /* a run uses it: one that was given back is fetched anew */
void held_leave(Held *held);

/* Gives back what was leased, ends logins, runs the loop meanwhile: 2 s at most. */
void held_close_all(Keeper *keeper);
void held_free_all(Keeper *keeper);
