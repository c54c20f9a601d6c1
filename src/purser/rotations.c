/* Rotations by cron lines. See rotations.h. */
#include "purser/rotations.h"

#include "base/log.h"
#include "base/mem.h"
#include "purser/next-run.h"

typedef struct Planned {
    const Source *source;
    int64_t next;      /* wall us */
    RotateChild child; /* pid 0: none is under way */
} Planned;

struct Rotations {
    const Session *session;
    Supervisor *supervisor;
    Planned *planned;
    size_t n;
};

static bool is_planned(const Rotations *rotations, const TokenRef *token)
{
    for (size_t i = 0; i < rotations->n; i++)
        if (token_ref_equal(rotate_kept(rotations->planned[i].source), token))
            return true;
    return false;
}

Rotations *rotations_new(const Session *session, Supervisor *supervisor)
{
    const Config *config = session->config;
    Rotations *rotations = MEM_NEW(Rotations);
    *rotations = (Rotations){.session = session, .supervisor = supervisor};
    for (size_t i = 0; i < config->n_source; i++) {
        const Source *source = &config->source[i];
        if (*source->plan.schedule && !is_planned(rotations, rotate_kept(source)))
            MEM_PUSH(rotations->planned, rotations->n, (Planned){.source = source});
    }
    return rotations;
}

Rotations *rotations_free(Rotations *rotations)
{
    if (!rotations)
        return NULL;
    mem_free(rotations->planned);
    mem_free(rotations);
    return NULL;
}

static void on_ended(void *context, pid_t pid)
{
    Rotations *rotations = context;
    for (size_t i = 0; i < rotations->n; i++) {
        Planned *planned = &rotations->planned[i];
        RotateResult result;
        if (planned->child.pid != pid)
            continue;
        rotate_result(&planned->child, &result);
        planned->child.pid = 0;
        if (strcmp(result.word, "failed") == 0)
            log_error("%s: its token was not rotated: %s", planned->source->name, result.sentence);
        else if (strcmp(result.word, "young") != 0)
            log_info("%s", result.sentence);
    }
}

static void begin(Rotations *rotations, Planned *planned)
{
    const RotatePlan *plan = &planned->source->plan;
    RotateSetup said = {.act = ROTATE_START,
                        .goes_on = true,
                        .unattended = true,
                        .tells = true,
                        .older_than = plan->older_than};
    Fault fault;
    if (rotate_start(rotations->session, planned->source, &said, &planned->child, &fault)) {
        log_error("%s: its token was not rotated: %s", planned->source->name, fault.text);
        return;
    }
    supervisor_watch(rotations->supervisor, (Aside){planned->child.pid, on_ended, rotations});
}

int64_t rotations_due(Rotations *rotations, int64_t now)
{
    int64_t soonest = 0;
    for (size_t i = 0; i < rotations->n; i++) {
        Planned *planned = &rotations->planned[i];
        int64_t next = next_rotation(planned->source, now);
        bool due = planned->next && planned->next <= now;
        if (due && !planned->child.pid)
            begin(rotations, planned);
        if (!planned->next || due || next < planned->next)
            planned->next = next;
        if (planned->next && (!soonest || planned->next < soonest))
            soonest = planned->next;
    }
    return soonest;
}
