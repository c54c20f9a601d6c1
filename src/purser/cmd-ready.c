/* purser ready: whether this pod's agent serves its retrievers. */
#include "base/log.h"
#include "purser/command.h"
#include "purser/pod.h"

static int run(const Invocation *invocation)
{
    Paths paths = {0};
    Config *config = NULL;
    Fault fault = {0};
    if (paths_find(&paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    paths.form = CONFIG_POD;
    int status = paths_load_config(command_option(&command_ready, invocation, "file"), &paths, &config);
    if (status >= 0)
        return status;
    int r = pod_ready_ask(config->state, &fault);
    if (r)
        log_error("%s", fault.text);
    config_free(config);
    return r ? EXIT_FAILED : EXIT_OK;
}

const Command command_ready = {
    .name = "ready",
    .arguments = "",
    .summary = "Tell whether this pod's agent is ready: its startup probe",
    .help = "Exit status 0: it serves its retrievers; 1: not yet, or not any more.\n\n"
            "Examples:\n"
            "  startupProbe: {exec: {command: [purser, ready]}, periodSeconds: 1}\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"}},
    .run = run,
};
