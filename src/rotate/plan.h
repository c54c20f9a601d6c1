/* What comes next in a rotation: docs/rotation.md's table. Pure; asked again after every step and after every
 * crash, with what store and provider say then. docs/rotation.pml is the same as a model.
 */
#pragma once

#include "base/slice.h"

typedef enum RotateToken { ROTATE_OLD, ROTATE_NEW } RotateToken;

/* What the source's probe says of a token. */
typedef enum RotateLife {
    ROTATE_UNKNOWN,
    ROTATE_WORKS,
    ROTATE_DEAD, /* 401: the provider does not know it */
} RotateLife;

typedef enum RotateCurrent {
    ROTATE_CURRENT_OLD,
    ROTATE_CURRENT_NEW,
    ROTATE_CURRENT_OTHER, /* or none: somebody else has set it, or taken it out */
} RotateCurrent;

typedef struct RotateFacts {
    bool staged;           /* the store has both beside the current one */
    RotateCurrent current; /* what is given out */
    RotateLife life[2];    /* by RotateToken */
    bool given;       /* a switch is on record: agents may hold what is to be dropped. True when not known */
    bool settled;     /* since the last switch every agent must have read the store again */
    bool retired;     /* the provider, or a person, was told to retire what is dropped, by this process */
    bool told[2];     /* the provider was told to retire it, by whatever process: it may be about to do so */
    RotateToken keep; /* forward: the new one; --abort: the old one */
} RotateFacts;

typedef enum RotateStep {
    ROTATE_PROVE,   /* ask the probe about those whose life is not known */
    ROTATE_TURN,    /* the one to keep is dead, the other works: keep that, and settle anew */
    ROTATE_WAIT,    /* the one to keep was told to be retired: until that cannot be under way any more */
    ROTATE_SWITCH,  /* make the kept one current */
    ROTATE_SETTLE,  /* wait for the agents */
    ROTATE_RETIRE,  /* what is dropped */
    ROTATE_CONFIRM, /* that it is dead */
    ROTATE_CLEAR,   /* take away what is staged */
    ROTATE_DONE,    /* nothing is staged */
    ROTATE_LOST,    /* a person has to do something: neither works */
    ROTATE_FOREIGN, /* the same: another token was set meanwhile */
} RotateStep;

RotateStep rotate_next(const RotateFacts *facts);

static inline RotateToken rotate_other(RotateToken token)
{
    return token == ROTATE_OLD ? ROTATE_NEW : ROTATE_OLD;
}

/* "switch": for journal, terminal and JSON. */
const char *rotate_step_name(RotateStep step);
