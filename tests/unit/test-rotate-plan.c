/* The rotation's protocol over every place at which its process can die, once and twice, going on with
 * --resume or --abort each time, and over what a provider may do when it is told to retire a token. */
#include "rotate/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef enum Provider {
    RETIRES,       /* and says so */
    RETIRES_LATER, /* says so, and does it when it is told again */
    LOSES_ANSWER,  /* does it; the process, not knowing, ends */
    FAILS_ONCE,    /* does nothing, and the process ends */
    PROVIDERS,
} Provider;

/* Store, provider, journal, agents: what a crash leaves as it is. */
typedef struct World {
    bool alive[2], staged, given;
    RotateCurrent current;
    RotateToken held; /* by an agent that reads its store only while it is waited for */
    Provider provider;
    unsigned told;
    unsigned effects; /* so far: each is a place to die before and after */
    unsigned called_retired;
} World;

typedef struct Process {
    RotateFacts knows;
    unsigned die_at; /* counted in effects of the world, twice: before, after */
    unsigned at;
} Process;

static RotateToken current(const World *world)
{
    return world->current == ROTATE_CURRENT_NEW ? ROTATE_NEW : ROTATE_OLD;
}

static bool dies(Process *process)
{
    return process->at++ == process->die_at;
}

static void look(const World *world, Process *process)
{
    process->knows.staged = world->staged;
    process->knows.current = world->current;
    process->knows.given = world->given;
}

static void probe(const World *world, Process *process, RotateToken token)
{
    process->knows.life[token] = world->alive[token] ? ROTATE_WORKS : ROTATE_DEAD;
}

/* True: the process ended, not knowing how the provider's call ended. */
static bool retire(World *world, RotateToken drop)
{
    world->told++;
    switch (world->provider) {
    case RETIRES_LATER:
        if (world->told > 1)
            world->alive[drop] = false;
        return false;
    case LOSES_ANSWER:
        world->alive[drop] = false;
        return world->told == 1;
    case FAILS_ONCE:
        world->alive[drop] = world->told == 1;
        return world->told == 1;
    default:
        world->alive[drop] = false;
        return false;
    }
}

/* One step; true: the process is gone. */
static bool take(World *world, Process *process, RotateStep step)
{
    RotateFacts *knows = &process->knows;
    RotateToken drop = rotate_other(knows->keep);
    switch (step) {
    case ROTATE_PROVE:
        probe(world, process, ROTATE_OLD);
        probe(world, process, ROTATE_NEW);
        return false;
    case ROTATE_TURN:
        knows->keep = drop;
        knows->settled = knows->retired = false;
        return false;
    case ROTATE_SWITCH:
        world->given = true;
        if (dies(process))
            return true;
        assert_true(world->alive[knows->keep]);
        world->current = knows->keep == ROTATE_NEW ? ROTATE_CURRENT_NEW : ROTATE_CURRENT_OLD;
        knows->settled = false;
        return dies(process);
    case ROTATE_SETTLE:
        world->held = current(world);
        knows->settled = true;
        return dies(process);
    case ROTATE_RETIRE:
        assert_true(world->alive[knows->keep]);
        if (dies(process) || retire(world, drop))
            return true;
        knows->retired = true;
        knows->life[drop] = ROTATE_UNKNOWN;
        return dies(process);
    case ROTATE_CONFIRM:
        probe(world, process, drop);
        if (knows->life[drop] == ROTATE_WORKS)
            knows->retired = false;
        return dies(process);
    case ROTATE_CLEAR:
        assert_false(world->alive[drop]);
        world->called_retired++;
        if (dies(process))
            return true;
        world->staged = false;
        return dies(process);
    default:
        fail_msg("no step: %s", rotate_step_name(step));
        return true;
    }
}

/* True: it came to its end; false: it died. */
static bool run(World *world, RotateToken keep, unsigned die_at)
{
    Process process = {.knows = {.keep = keep}, .die_at = die_at};
    for (unsigned i = 0; i < 100; i++) {
        look(world, &process);
        RotateStep step = rotate_next(&process.knows);
        if (step == ROTATE_DONE)
            return true;
        if (take(world, &process, step))
            return false;
        assert_true(world->alive[ROTATE_OLD] || world->alive[ROTATE_NEW]);
        assert_true(world->alive[world->held]);
    }
    fail_msg("it never ends");
    return false;
}

static void check_end(const World *world)
{
    RotateToken kept = current(world);
    assert_true(world->alive[kept]);
    assert_false(world->alive[rotate_other(kept)]);
    assert_false(world->staged);
}

static void each_place(bool new_works, Provider provider)
{
    for (unsigned first = 0; first < 16; first++)
        for (unsigned second = 0; second < 16; second++)
            for (unsigned ways = 0; ways < 4; ways++) {
                World world = {.alive = {true, new_works}, .staged = true, .provider = provider};
                bool ended = run(&world, ROTATE_NEW, first);
                ended = ended || run(&world, ways & 1 ? ROTATE_OLD : ROTATE_NEW, second);
                for (unsigned i = 0; !ended && i < 3; i++) /* the provider's own failures end one each */
                    ended = run(&world, ways & 2 ? ROTATE_OLD : ROTATE_NEW, UINT32_MAX);
                assert_true(ended);
                check_end(&world);
            }
}

static void every_crash_ends_with_one_working_token(void **state)
{
    (void)state;
    for (Provider provider = RETIRES; provider < PROVIDERS; provider++) {
        each_place(true, provider);
        each_place(false, provider);
    }
}

static void without_a_crash_the_way_is_the_documented_one(void **state)
{
    (void)state;
    static const RotateStep way[] = {ROTATE_PROVE,   ROTATE_SWITCH, ROTATE_SETTLE, ROTATE_RETIRE,
                                     ROTATE_CONFIRM, ROTATE_CLEAR,  ROTATE_DONE};
    World world = {.alive = {true, true}, .staged = true};
    Process process = {.knows = {.keep = ROTATE_NEW}, .die_at = UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        look(&world, &process);
        RotateStep step = rotate_next(&process.knows);
        assert_string_equal(rotate_step_name(step), rotate_step_name(way[i]));
        if (step != ROTATE_DONE)
            assert_false(take(&world, &process, step));
    }
    assert_int_equal(world.current, ROTATE_CURRENT_NEW);
    check_end(&world);
}

/* Every combination of facts: none makes a dead token current, or retires the only one that works. */
static void no_facts_lead_to_harm(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 3 * 3 * 3 * 128; bits++) {
        unsigned rest = bits / 128;
        RotateFacts facts = {.staged = bits & 1,
                             .given = bits & 2,
                             .settled = bits & 4,
                             .retired = bits & 8,
                             .told = {bits & 32, bits & 64},
                             .keep = bits & 16 ? ROTATE_NEW : ROTATE_OLD,
                             .current = (RotateCurrent)(rest % 3),
                             .life = {(RotateLife)(rest / 3 % 3), (RotateLife)(rest / 9)}};
        RotateLife keep = facts.life[facts.keep], drop = facts.life[rotate_other(facts.keep)];
        RotateStep step = rotate_next(&facts);
        if (step == ROTATE_SWITCH || step == ROTATE_RETIRE || step == ROTATE_SETTLE)
            assert_int_equal(keep, ROTATE_WORKS);
        if (step == ROTATE_SWITCH || step == ROTATE_RETIRE || step == ROTATE_SETTLE)
            assert_true(!facts.told[facts.keep] || drop == ROTATE_DEAD);
        if (step == ROTATE_WAIT)
            assert_true(facts.told[facts.keep] && keep == ROTATE_WORKS);
        if (step == ROTATE_CLEAR)
            assert_true(keep == ROTATE_WORKS && drop == ROTATE_DEAD);
        if (step == ROTATE_RETIRE)
            assert_true(!facts.given || facts.settled);
        if (step != ROTATE_DONE)
            assert_true(facts.staged);
        if (facts.staged && facts.current == ROTATE_CURRENT_OTHER)
            assert_int_equal(step, ROTATE_FOREIGN);
        assert_string_not_equal(rotate_step_name(step), "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_crash_the_way_is_the_documented_one),
        cmocka_unit_test(every_crash_ends_with_one_working_token),
        cmocka_unit_test(no_facts_lead_to_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
