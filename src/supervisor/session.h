/* What nearly every command begins with: where purser lies, the configuration, the state folder. */
#pragma once

#include "base/json.h"
#include "supervisor/exit-status.h"
#include "supervisor/paths.h"
#include "supervisor/state.h"

typedef struct Session {
    Paths paths;
    Config *config;
    State state;
} Session;

/* file: of --file, or NULL. An exit status after saying why, or -1 to go on. */
int session_open(const char *file, Session *ret_session);
int session_open_form(const char *file, ConfigForm form, Session *ret_session);

/* A person's own way into the cluster, instead of the one in purser.yaml that agents use. NULL each: not
 * said. */
typedef struct KubernetesLogin {
    const char *kubeconfig, *context;
} KubernetesLogin;

int session_open_as(const char *file, const KubernetesLogin *login, Session *ret_session);
void session_close(Session *session);

/* Prints what a JsonWriter collected, and a newline, on standard output. EXIT_OK or EXIT_FAILED. */
int print_json(const JsonWriter *json);
