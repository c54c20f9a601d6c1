/* The protocol of `purser rotate`, as docs/rotation.md and src/rotate/plan.c have it; checked with
 *   spin -a rotation.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 * Each assert is a promise. The process may die CRASHES times, each time somebody says --resume or --abort.
 * BROKEN leaves a rule out, one at a time: then pan must find an error, which the tests check too.
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
bool staged = true;     /* the store: both lie beside the current one */
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

active proctype rotator() {
    /* The old token was proven before it was staged; the new one may be none. */
    if
    :: alive[NEW] = false
    :: skip
    fi;
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
            staged = false
        fi
    fi;
    goto step;
done:
    assert(alive[current] && !alive[1 - current]); /* exactly one works, and it is the one in the store */
    ended = true
}

proctype agent(byte me) {
    do
    :: d_step { !ended -> held[me] = current; fresh[me] = true } /* reads its store */
    :: atomic { !ended -> assert(alive[held[me]]) }              /* sends a request with what it holds */
    :: ended -> break
    od
}

init {
    run agent(0);
    run agent(1)
}
