/* The protocol of `purser rotate`, as docs/rotation.md and src/rotate/plan.c have it; checked with
 *   spin -a rotation.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 * Each assert is a promise. The process may die CRASHES times, each time somebody says --resume or --abort.
 * BROKEN leaves a rule out, one at a time: then pan must find an error, which the tests check too.
 * -DRENEW: the provider makes the new token of the old one, which is dead at once; asked with one that was replaced
 * already it revokes its successor. Then both may be lost, but only where a process died or an answer was lost.
 */
#ifndef CRASHES
#define CRASHES 3
#endif
#ifndef BROKEN
#define BROKEN 0
#endif
#define OLD 0
#define NEW 1
#define UNKNOWN 0
#define WORKS 1
#define DEAD 2

bool alive[2] = true;   /* the provider */
#ifdef RENEW
bool staged = false;
bool asked = false;     /* the journal: the provider was asked, and what came of it is not known */
byte pending = 0;       /* questions that the provider has not carried out yet */
bool answered = false, unheard = false; /* its answer is there; one was lost */
byte questions = 0;
bool holding = false;   /* the agents' requests wait: as long as the process that asked for it lives */
#else
bool staged = true;     /* the store: both lie beside the current one */
bool holding = false;
#endif
byte current = OLD;
bool given = false;     /* the journal: a switch was about to be made */
byte held[2] = OLD;     /* the agents: what each has read last, and whether since the last switch */
bool fresh[2] = true;
byte crashes = 0;
bool ended = false;

/* What a process knows; gone with it. */
byte life[2];
bool settled, retired;
byte keep = NEW, drop = OLD;

inline die() {
    crashes++;
    holding = false;
#ifdef RENEW
    answered = false;
#endif
    life[OLD] = UNKNOWN; life[NEW] = UNKNOWN; settled = false; retired = false;
    if
    :: keep = NEW; drop = OLD
    :: keep = OLD; drop = NEW
    fi
}

inline probe(which) {
    if
    :: alive[which] -> life[which] = WORKS
    :: else -> life[which] = DEAD
    fi
}

#ifdef RENEW
/* Carries out what it was asked, at any time. */
active proctype provider() {
    do
    :: d_step { pending > 0 -> pending--;
        assert(alive[OLD]); /* it is never asked with a token that was replaced already */
        alive[OLD] = false; alive[NEW] = true; answered = true }
    :: ended -> break
    od
}
#endif

active proctype rotator() {
#ifdef RENEW
    alive[NEW] = false;
renew:
    if
    :: crashes < CRASHES -> die()
    :: skip
    fi;
    if
    :: asked && BROKEN != 5 ->
        holding = false;
        if
        :: BROKEN == 4
        :: else -> pending == 0 /* so long is waited that it cannot be under way any more */
        fi;
        if
        :: !alive[OLD] -> goto lost /* a person is told */
        :: else -> asked = false; goto renew
        fi
    :: !asked || BROKEN == 5 ->
        if
        :: questions == 2 -> goto lost /* enough for a model */
        :: else
        fi;
        holding = (BROKEN != 6);
        asked = true; /* on record first; then it may die */
        if
        :: crashes < CRASHES -> die(); goto renew
        :: skip
        fi;
        questions++; pending++;
        if
        :: answered -> /* in this process alone */
            if
            :: crashes < CRASHES -> die(); goto renew
            :: skip
            fi;
            staged = true; asked = false
        :: unheard = true; goto renew
        fi
    fi;
#else
    /* The old token was proven before it was staged; the new one may be none. */
    if
    :: alive[NEW] = false
    :: skip
    fi;
#endif
step:
    if
    :: crashes < CRASHES -> die()
    :: skip
    fi;
    assert(alive[OLD] || alive[NEW]);
    if
    :: !staged -> goto done
    :: else
    fi;
    if
    :: life[keep] == UNKNOWN -> probe(keep); if :: BROKEN == 1 -> life[keep] = WORKS :: else fi
    :: life[keep] != UNKNOWN && life[drop] == UNKNOWN && !retired -> probe(drop)
    :: life[keep] == DEAD && life[drop] == DEAD -> assert(false)
    :: life[keep] == DEAD && life[drop] == WORKS ->
        keep = 1 - keep; drop = 1 - drop; settled = false; retired = false
    :: life[keep] == WORKS && (life[drop] != UNKNOWN || retired) ->
        if
        :: current != keep && !given -> given = true /* on record first; then it may die */
        :: current != keep && given ->
            d_step { current = keep; fresh[0] = (held[0] == keep); fresh[1] = (held[1] == keep); settled = false }
        :: current == keep && life[drop] != DEAD && !retired && given && !settled && BROKEN != 2 ->
            fresh[0] && fresh[1]; settled = true
        :: current == keep && life[drop] != DEAD && !retired && (!given || settled || BROKEN == 2) ->
            /* The provider does it; or has done it and its answer is lost; or says that it has, and has not. */
            if
            :: alive[drop] = false
            :: skip
            fi;
            retired = true; life[drop] = UNKNOWN
        :: current == keep && life[drop] == UNKNOWN && retired ->
            if
            :: BROKEN == 3 -> life[drop] = DEAD /* it is told, so it is believed */
            :: else -> probe(drop)
            fi;
            if
            :: life[drop] == WORKS -> retired = false
            :: else
            fi
        :: current == keep && life[drop] == DEAD ->
            assert(!alive[drop]); /* only now is it called retired */
            if
            :: holding -> fresh[0] && fresh[1]; holding = false /* who runs here has read it */
            :: else
            fi;
            staged = false
        fi
    fi;
    goto step;
done:
    assert(alive[current] && !alive[1 - current]); /* exactly one works, and it is the one in the store */
    ended = true;
#ifdef RENEW
    goto over;
lost:
    assert(unheard || crashes > 0 || alive[OLD]);
    ended = true;
over:
    skip
#endif
}

proctype agent(byte me) {
    do
    :: d_step { !ended -> held[me] = current; fresh[me] = true } /* reads its store */
    :: atomic { !ended && !holding ->                            /* sends a request with what it holds */
#ifdef RENEW
        assert(alive[held[me]] || unheard || crashes > 0)
#else
        assert(alive[held[me]])
#endif
        }
    :: ended -> break
    od
}

init {
    run agent(0);
    run agent(1)
}
