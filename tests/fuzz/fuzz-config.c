/* purser.yaml, a pod's, or a chart's values, from anywhere: it is read, or refused with a sentence; nothing
 * else. There is no provider and no file to be found, so that the outcome depends on the bytes alone. */
#include "config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(ConfigForm form, Slice text)
{
    const ConfigPaths paths = {
        .policy_dir = "/nonexistent/policy", .default_state = "/nonexistent/state", .form = form};
    Config *config = NULL;
    Fault fault = {""};
    if (config_parse("/nonexistent/purser.yaml", text, &paths, &config, &fault)) {
        if (config || !fault.text[0])
            abort();
        return;
    }
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t k = 0; k < config->retriever[i].n_grant; k++)
            if (config->retriever[i].grant[k].source >= config->n_source ||
                config->retriever[i].grant[k].policy >= config->n_policy)
                abort();
    config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ConfigForm forms[] = {CONFIG_MACHINE, CONFIG_POD, CONFIG_CHART};
    for (size_t i = 0; i < COUNT_OF(forms); i++)
        read_as(forms[i], (Slice){(const char *)data, size});
    return 0;
}
