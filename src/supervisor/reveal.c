/* The supervisor's part in revealing a token. See reveal.h. */
#include "supervisor/reveal.h"

#include "base/log.h"

#include <stdio.h>

static const char *name_of(const Run *run, uint32_t source)
{
    return run->supervisor->config->source[source].name;
}

bool reveal_is_granted(const Run *run, const GrantRef *grant)
{
    return !run->collect && run->supervisor->config->policy[grant->policy]->reveal;
}

void reveal_path(const Run *run, uint32_t source, char out[static 256])
{
    snprintf(out, 256, "%s/token-%s", run->place.folder ? POD_FOLDER "/tokens" : run->folder.tokens,
             name_of(run, source));
}

int reveal_files(Run *run, unsigned n, KeeperRun *message, int *ret_file, Fault *fault)
{
    int r = 0;
    if (run->place.folder)
        snprintf(run->folder.tokens, sizeof(run->folder.tokens), "%s/tokens", run->place.folder);
    for (size_t i = 0; i < run->retriever->n_grant && r == 0; i++) {
        const GrantRef *grant = &run->retriever->grant[i];
        if (!reveal_is_granted(run, grant))
            continue;
        log_warning("%s: the token of source %s is revealed to it, as its policy %s says.",
                    run->retriever->name, name_of(run, grant->source),
                    run->supervisor->config->policy[grant->policy]->name);
        r = run_folder_reveal(run->supervisor->state, &run->folder, n, &run->user,
                              name_of(run, grant->source), &ret_file[message->n_reveal], fault);
        if (r == 0)
            message->reveal[message->n_reveal++] = grant->source;
    }
    return r;
}
