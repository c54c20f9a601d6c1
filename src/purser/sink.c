/* The sink, for a command that is no run. See sink.h. */
#include "purser/sink.h"

#include "base/mem.h"

int sink_open(Session *session, SinkLink *sink, Fault *fault)
{
    const Config *config = session->config;
    int r = 0;
    *sink = SINK_NONE;
    if (config->sink.credential.kind != STORE_NONE) {
        CLEANUP_MEM bool *no_source = MEM_NEW_ARRAY(bool, config->n_source);
        if (!(r = state_lock(&session->state, fault)))
            r = keeper_start(config, &session->paths, &session->state, no_source, &sink->keeper, fault);
    }
    return r ? r : clerk_start(config, &session->paths, &sink->keeper, &sink->clerk, fault);
}

void sink_close(SinkLink *sink)
{
    role_stop(&sink->clerk, 1000);
    keeper_stop(&sink->keeper);
}
