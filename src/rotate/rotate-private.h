/* What a rotation and a revocation share. Only src/rotate uses this. */
#pragma once

#include "rotate/account.h"
#include "rotate/agent.h"
#include "rotate/journal.h"
#include "rotate/place.h"
#include "rotate/provider.h"
#include "rotate/rotate.h"
#include "rotate/settle.h"

typedef struct Rotating {
    const RotateSetup *setup;
    const char *source;
    Say say;
    Place *place;
    ProviderLink *provider; /* NULL until it is opened */
    Journal *journal;
    PlaceFound found;
    RotateFacts facts;
    Account account[2];
    int64_t switched; /* wall: the last switch of this process, or its beginning */
    Agent *agent;     /* holds the source's requests; NULL: nobody's are held */
    bool turned;
    bool tidied; /* what was there was left as it is */
} Rotating;

/* Takes the lock, opens the journal, looks. -EBUSY, -errno, STORE_E_ with a sentence. */
int rotating_open(Rotating *self, const unsigned char *key, Fault *fault) MUST_USE;
void rotating_close(Rotating *self);
int rotating_look(Rotating *self, Fault *fault) MUST_USE;
/* Into facts.life and account. */
int rotating_probe(Rotating *self, RotateToken token, const Sealed *sealed, Fault *fault) MUST_USE;

/* renew.c: a new token of the provider's own making. */
int renew_check(const Rotating *self, Fault *fault) MUST_USE; /* whether it may and can: changes nothing */
/* Asks once, and stages what came. Anything else than 0: nothing is staged. */
int renew_get(Rotating *self, Fault *fault) MUST_USE;
/* It was asked and the answer is not known, maybe of a process before. 0: the current token works, it has
 * ended. */
int renew_resolve(Rotating *self, bool under_way, Fault *fault) MUST_USE;
void renew_let_go(Rotating *self); /* what was held */

/* under-way.c: what a provider was told, and cannot be called back. */
int64_t rotating_patience(void);        /* us: so long it may still be carried out */
void rotating_wait_out(Rotating *self); /* that long, by this process's own clock, whatever others say */
/* Where others may take the lock over: whether this process has not stood still since it wrote that it is
 * about to, `written` by clock_boot(). -ESTALE with a sentence: it may not any more. */
int rotating_in_time(const Rotating *self, int64_t written, Fault *fault) MUST_USE;

static inline const char *token_word(RotateToken token)
{
    return token == ROTATE_OLD ? "old" : "new";
}

/* On record, then told. */
#define STEP(self, step, fault, ...)                                                                         \
    ({                                                                                                       \
        int step_ = journal_add((self)->journal, (step), (fault), __VA_ARGS__);                              \
        if (step_ == 0)                                                                                      \
            say_step(&(self)->say, (step), __VA_ARGS__);                                                     \
        step_;                                                                                               \
    })
