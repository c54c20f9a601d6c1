/* `rotate:` of a source. See parse.h. */
#include "config/parse.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>

#define LEAST_AGE (60ull * CLOCK_SECOND)

/* What nobody is there to type must come from somewhere. */
static int check_plan(Loader *loader, const YamlNode *node, const RotatePlan *plan)
{
    if (plan->older_than && plan->older_than < LEAST_AGE)
        return yaml_fault(loader->doc, yaml_get(node, "olderThan"), loader->fault,
                          "'olderThan' is a token's age, of a minute at least, as in 30d");
    if (plan->schedule[0] && !plan->n_command && !plan->from_provider)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "'rotate' has a schedule, so it must say where a new token comes from when nobody is there to "
            "type it: 'command: [PROGRAM, ARGUMENT...]', which prints it, or 'fromProvider: true'");
    return 0;
}

/* A provider that makes it, and whether old and new live beside each other then. */
static int check_provider(Loader *loader, const YamlNode *node, const Source *source)
{
    const RotatePlan *plan = &source->plan;
    if (plan->from_provider && plan->n_command)
        return yaml_fault(loader->doc, node, loader->fault,
                          "a new token comes either of the 'command' or 'fromProvider'");
    if (plan->from_provider && !source->rotation.renew[0])
        return yaml_fault(loader->doc, yaml_get(node, "fromProvider"), loader->fault,
                          "%s has no call that makes a new token of an old one",
                          source->provider[0] ? source->provider : "a source without provider");
    if (plan->from_provider && plan->schedule[0] && !source->rotation.renew_overlaps && !plan->accept_loss)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "%s kills the old token before anybody has the new one, so an answer that is lost takes both: "
            "say "
            "'acceptLoss: true' if that may be, or a 'command' that prints a token made beside the old one",
            source->provider);
    if (plan->path[0] && (plan->path[0] != '/' || !plan->from_provider))
        return yaml_fault(
            loader->doc, yaml_get(node, "path"), loader->fault,
            "'path' is that of the provider's call, as in /projects/42/access_tokens/self/rotate, and "
            "needs 'fromProvider: true'");
    return 0;
}

int parse_rotate(Loader *loader, const YamlNode *node, Source *source)
{
    static const YamlField field[] = {
        YAML_FIELD(RotatePlan, "schedule", YAML_AS_TEXT, schedule),
        YAML_FIELD(RotatePlan, "timeZone", YAML_AS_TEXT, time_zone),
        YAML_FIELD(RotatePlan, "olderThan", YAML_AS_DURATION, older_than,
                   .most = 3660 * 86400ull * CLOCK_SECOND),
        YAML_FIELD(RotatePlan, "command", YAML_AS_TEXTS, command, .count = offsetof(RotatePlan, n_command)),
        YAML_FIELD(RotatePlan, "fromProvider", YAML_AS_BOOL, from_provider),
        YAML_FIELD(RotatePlan, "acceptLoss", YAML_AS_BOOL, accept_loss),
        YAML_FIELD(RotatePlan, "path", YAML_AS_TEXT, path),
        YAML_FIELD(RotatePlan, "life", YAML_AS_DURATION, life, .most = 3660 * 86400ull * CLOCK_SECOND),
        YAML_FIELD(RotatePlan, "vaultToken", YAML_AS_TEXT, vault_token),
    };
    RotatePlan *plan = &source->plan;
    put_text(&plan->time_zone, loader->time_zone);
    int r = YAML_READ_MAP(loader->doc, node, "rotate", field, plan, loader->fault);
    if (!r && plan->schedule[0])
        r = check_schedule(loader, yaml_get(node, "schedule"), plan->schedule);
    if (!r && yaml_get(node, "timeZone"))
        r = check_time_zone(loader, yaml_get(node, "timeZone"), plan->time_zone);
    if (!r && plan->vault_token[0])
        path_resolve(loader, &plan->vault_token);
    r = r ? r : check_plan(loader, node, plan);
    return r ? r : check_provider(loader, node, source);
}
