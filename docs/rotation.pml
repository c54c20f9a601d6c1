/* The protocol of `purser rotate`, as docs/rotation.md and src/rotate/plan.c have it; checked with
 *   spin -a rotation.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 * Each assert is a promise. The process may die CRASHES times, each time somebody says --resume or --abort.
 * BROKEN leaves a rule out, one at a time: then pan must find an error, which the tests check too.
 * -DRENEW: the provider makes the new token of the old one, which is dead at once; asked with one that was replaced
 * already it revokes its successor. Then both may be lost, but only where a process died or an answer was lost.
 * -DTAKEOVER: the lock in the store, and two processes beside each other; at the end of this file.
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

#ifndef TAKEOVER
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

#else /* TAKEOVER */

/* The lock in the store: whoever has not been heard of is taken over, though he may only stand still, and goes on where he
 * stood, or a write of his is under way and arrives later. BEGUN processes begin, two at a time, each with a new rotation,
 * --resume or --abort; whenever one stops, the next takes its turn. Each write names the version that was read: `knows` says
 * that nobody has written since. `past` is what the asserts watch: somebody else has the lock, and has looked; from then on
 * nothing is written any more. A process is taken over at any moment but one: right after it has written that it will tell the
 * provider, which is what the time of a lock is for (src/rotate/under-way.c).
 */
#ifndef BEGUN
#define BEGUN 3
#endif
#ifndef LATE
#define LATE 1     /* a write that gets no answer, and may arrive yet */
#endif
#define TOKENS 3   /* so two rotations can be begun */
#define NOBODY 2
#define LEFT 3     /* the holder died, or could not let it go */
#define START 0
#define RESUME 1
#define ABORT 2
#define NONE 0
#define PUT 1
#define STAGE 2
#define CLEAR 3

/* The provider, and what it was told and has not done yet. */
bool alive[TOKENS] = true;
byte pending[TOKENS];
byte made = 1;

/* The store: the token given out; what is staged, beside it; the lock, and the journal that lies with it. */
byte current = 0;
bool there = false, staged = false;
byte pair[2];
byte holder = NOBODY;
bool open = false, given = false, told[2];

bool knows_main[2], knows_side[2]; /* by process */
bool past[2], within[2], waits[2];
bool was_given[TOKENS];

/* One write that got no answer. */
byte late = NONE, late_old, late_new;
bool late_knows = false, late_past = false, late_used = false;

byte begun = 0;
byte held = 0; /* by an agent */

#define KEPT (alive[current] || (staged && (alive[pair[OLD]] || alive[pair[NEW]])))
#define FORGOTTEN(t) (t != current && alive[t] && was_given[t])

inline main_written(by) {
    knows_main[0] = (by == 0); knows_main[1] = (by == 1);
    if :: late == PUT -> late_knows = false :: else fi
}

inline side_written(by) {
    knows_side[0] = (by == 0); knows_side[1] = (by == 1);
    if :: late == STAGE || late == CLEAR -> late_knows = false :: else fi
}

inline put(by, token) {
    current = token; was_given[token] = true;
    main_written(by);
    assert(KEPT) /* never are both lost */
}

inline stage(by, old, fresh) {
    staged = true; there = true; pair[OLD] = old; pair[NEW] = fresh;
    side_written(by)
}

inline clear(by) {
    staged = false; there = false; pair[OLD] = 0; pair[NEW] = 0;
    side_written(by);
    assert(KEPT)
}

inline carry_out(token) {
    d_step { pending[token] > 0 -> pending[token]--; alive[token] = false;
        assert(KEPT); assert(alive[held]) } /* never are both lost; nobody ever sends one that is dead */
}

active proctype provider() {
end:
    do
    :: carry_out(0)
    :: carry_out(1)
    :: carry_out(2)
    :: d_step { pending[0] > 0 -> pending[0]-- } /* it does not do it, whatever it says */
    :: d_step { pending[1] > 0 -> pending[1]-- }
    :: d_step { pending[2] > 0 -> pending[2]-- }
    od
}

active proctype network() {
end:
    do
    :: d_step { late == PUT -> if :: late_knows -> assert(!late_past); put(NOBODY, late_new) :: else fi;
        late = NONE; late_knows = false }
    :: d_step { late == STAGE ->
        if :: late_knows || BROKEN == 11 -> assert(!late_past || BROKEN == 11); stage(NOBODY, late_old, late_new) :: else fi;
        late = NONE; late_knows = false }
    :: d_step { late == CLEAR -> if :: late_knows || BROKEN == 10 -> clear(NOBODY) :: else fi;
        late = NONE; late_knows = false }
    :: d_step { late != NONE -> late = NONE; late_knows = false }
    od
}

active proctype agent() {
end:
    do
    :: d_step { held != current || waits[0] || waits[1] -> held = current; waits[0] = false; waits[1] = false; assert(alive[held]) }
    od
}

/* No answer: it may arrive yet. */
inline give_up(what, old, fresh, knew) {
    late = what; late_old = old; late_new = fresh; late_knows = knew; late_past = past[me]; late_used = true
}

proctype rotator(byte me) {
    byte act, cur, o, n, keep, kept, dropped;
    byte life[2];
    bool st, was_there, was_held, settled, retired, waited, first;
next:
    atomic {
        cur = 0; o = 0; n = 0; keep = 0; kept = 0; dropped = 0; was_there = false; life[0] = 0; life[1] = 0; st = false; was_held = false; settled = false;
        retired = false; waited = false; first = true; act = START;
        knows_main[me] = false; knows_side[me] = false; past[me] = false; within[me] = false; waits[me] = false;
        if
        :: begun < BEGUN -> begun++;
            if :: act = START :: begun > 1 -> act = RESUME :: begun > 1 -> act = ABORT fi
        :: else -> goto over
        fi
    };
    /* The lock. */
    if
    :: atomic { holder == NOBODY -> holder = me; past[me] = false }
    :: atomic { holder != NOBODY && act != START && (holder == LEFT || !within[1 - me]) -> was_held = true; holder = me; past[me] = false }
    :: atomic { holder != NOBODY && act == START -> goto next }
    fi;
    /* What others have read is not what is there any more. */
    if
    :: BROKEN != 8 && there -> d_step { side_written(NOBODY) }
    :: BROKEN != 8 && there -> goto let_go /* it could not be written */
    :: BROKEN == 8 || !there
    fi;
    if
    :: d_step { (was_held || (staged && act != START && BROKEN != 9)) && BROKEN != 8 -> main_written(NOBODY) }
    :: was_held || (staged && act != START) -> goto let_go
    :: !(was_held || (staged && act != START && BROKEN != 9)) || BROKEN == 8
    fi;
look:
    atomic { /* the lock last: if it is ours then, all that was read is as we left it */
        if :: goto let_go :: skip fi; /* it dies, or cannot reach the store any more */
        cur = current; st = staged; was_there = there; o = pair[OLD]; n = pair[NEW];
        knows_main[me] = true; knows_side[me] = true;
        if
        :: holder != me -> goto next
        :: holder == me && first && ((act == START && st) || (act != START && !st && !open)) -> goto let_go
        :: else -> past[1 - me] = true; late_past = (late != NONE)
        fi;
        if
        :: first && act == START && !st -> goto fresh
        :: first && act != START && !st && open -> first = false; goto do_clear /* what a crash left half */
        :: first && act != START && st -> first = false; keep = (act == RESUME -> NEW : OLD)
        :: else
        fi;
        if
        :: !st -> /* the one in the store is the only one that works, of those that were given out */
            assert(alive[cur] && !FORGOTTEN(0) && !FORGOTTEN(1) && !FORGOTTEN(2)); goto done
        :: else -> kept = (keep == OLD -> o : n); dropped = (keep == OLD -> n : o)
        fi;
        assert(cur == o || cur == n); /* nobody else sets one */
        if
        :: life[keep] == UNKNOWN || (life[1 - keep] == UNKNOWN && !retired) ->
            if :: life[keep] == UNKNOWN -> life[keep] = (alive[kept] -> WORKS : DEAD) :: else fi;
            if :: life[1 - keep] == UNKNOWN && !retired -> life[1 - keep] = (alive[dropped] -> WORKS : DEAD) :: else fi
        :: life[keep] == DEAD && life[1 - keep] == DEAD -> assert(false)
        :: life[keep] == DEAD && life[1 - keep] == WORKS -> keep = 1 - keep; settled = false; retired = false; waited = false
        :: life[keep] == DEAD && life[1 - keep] == UNKNOWN && retired -> goto confirm
        :: life[keep] == WORKS && (retired || life[1 - keep] != UNKNOWN) ->
            if
            :: told[keep] && !waited && life[1 - keep] != DEAD && BROKEN != 12 ->
                pending[kept] == 0; /* so long is waited that it cannot be under way any more */
                waited = true; life[keep] = UNKNOWN
            :: else ->
                if
                :: cur != kept -> goto switch
                :: cur == kept && life[1 - keep] == DEAD -> goto do_clear
                :: cur == kept && life[1 - keep] != DEAD && retired -> goto confirm
                :: cur == kept && life[1 - keep] != DEAD && !retired && given && !settled ->
                    waits[me] = true; !waits[me]; settled = true
                :: cur == kept && life[1 - keep] != DEAD && !retired && (!given || settled) -> goto retire
                fi
            fi
        fi
    };
    goto look;

switch:
    atomic {
        if
        :: holder == me -> given = true
        :: holder != me && BROKEN == 7
        :: holder != me && BROKEN != 7 -> goto next
        fi
    };
    if
    :: d_step { knows_main[me] -> assert(!past[me]); put(me, kept); settled = false }
    :: !knows_main[me] -> goto let_go
    :: d_step { late == NONE && !late_used && LATE -> give_up(PUT, 0, kept, knows_main[me]) }; goto let_go
    fi;
    goto look;

retire:
    atomic {
        if
        :: holder == me -> told[1 - keep] = true; within[me] = true
        :: holder != me && BROKEN == 7
        :: holder != me && BROKEN != 7 -> goto next
        fi
    };
    if
    :: d_step { within[me] -> within[me] = false; pending[dropped]++ }
    :: d_step { within[me] -> within[me] = false }; /* it stands still */
        if
        :: BROKEN == 13 -> pending[dropped]++
        :: else -> goto let_go
        fi
    :: d_step { !within[me] -> pending[dropped]++ } /* BROKEN == 7 */
    fi;
    retired = true; life[1 - keep] = UNKNOWN;
    goto look;

confirm:
    atomic {
        if
        :: alive[dropped] && life[keep] == WORKS -> goto let_go /* --resume goes on */
        :: else -> life[1 - keep] = (alive[dropped] -> WORKS : DEAD); retired = !alive[dropped]
        fi
    };
    goto look;

do_clear:
    atomic {
        if
        :: st -> assert(!alive[dropped]) /* never is one that works called retired */
        :: else
        fi;
        if
        :: !was_there && BROKEN != 10 -> goto look /* nothing is there */
        :: else
        fi;
        if
        :: holder == me || BROKEN == 7
        :: holder != me && BROKEN != 7 -> goto next
        fi
    };
    if
    :: d_step { (knows_side[me] || BROKEN == 10) -> assert(!past[me] || BROKEN == 10); clear(me) }
    :: !knows_side[me] && BROKEN != 10 -> goto let_go
    :: d_step { late == NONE && !late_used && LATE -> give_up(CLEAR, 0, 0, knows_side[me]) }; goto let_go
    fi;
    goto look;

fresh: /* a new rotation */
    atomic {
        first = false; keep = NEW;
        if
        :: holder == me && made < TOKENS -> open = true; given = false; told[OLD] = false; told[NEW] = false;
            o = cur; n = made; alive[n] = true; made++
        :: else -> goto let_go
        fi
    };
    if
    :: BROKEN != 11 && !was_there -> d_step { there = true; side_written(me) }; /* which takes nothing away */
        if :: holder != me -> goto next :: else fi
    :: BROKEN == 11 || was_there
    fi;
    if
    :: d_step { (knows_side[me] || BROKEN == 11) -> assert(!past[me] || BROKEN == 11); stage(me, o, n) }
    :: !knows_side[me] && BROKEN != 11 -> goto let_go
    :: d_step { late == NONE && !late_used && LATE -> give_up(STAGE, o, n, knows_side[me]) }; goto let_go
    fi;
    goto look;

done:
    atomic {
        if :: holder == me -> open = false; given = false; told[OLD] = false; told[NEW] = false :: else fi
    };

let_go:
    atomic {
        if
        :: holder == me -> if :: holder = NOBODY :: holder = LEFT fi
        :: else
        fi;
        goto next
    };
over:
    skip
}

init {
    atomic { was_given[0] = true; run rotator(0); run rotator(1) }
}
#endif
