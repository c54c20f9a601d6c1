/* What comes next in a rotation. See plan.h. */
#include "rotate/plan.h"

static bool is_kept(const RotateFacts *facts)
{
    return facts->current == (facts->keep == ROTATE_NEW ? ROTATE_CURRENT_NEW : ROTATE_CURRENT_OLD);
}

RotateStep rotate_next(const RotateFacts *facts)
{
    RotateLife keep = facts->life[facts->keep], drop = facts->life[rotate_other(facts->keep)];
    if (!facts->staged)
        return ROTATE_DONE;
    if (facts->current == ROTATE_CURRENT_OTHER)
        return ROTATE_FOREIGN;
    if (keep == ROTATE_UNKNOWN || (drop == ROTATE_UNKNOWN && !facts->retired))
        return ROTATE_PROVE;
    if (keep == ROTATE_DEAD && drop == ROTATE_DEAD)
        return ROTATE_LOST;
    if (keep == ROTATE_DEAD) /* what was retired is asked about first: it may be the only one left */
        return drop == ROTATE_WORKS ? ROTATE_TURN : ROTATE_CONFIRM;
    /* Where it is the only one left, waiting is no use. */
    if (facts->told[facts->keep] && drop != ROTATE_DEAD)
        return ROTATE_WAIT;
    if (!is_kept(facts))
        return ROTATE_SWITCH;
    if (drop == ROTATE_DEAD)
        return ROTATE_CLEAR;
    if (facts->retired)
        return ROTATE_CONFIRM;
    return facts->given && !facts->settled ? ROTATE_SETTLE : ROTATE_RETIRE;
}

const char *rotate_step_name(RotateStep step)
{
    static const char *const name[] = {"prove",   "turn",  "wait", "switch", "settle", "retire",
                                       "confirm", "clear", "done", "lost",   "foreign"};
    return name[step];
}
