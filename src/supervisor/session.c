/* What nearly every command begins with. See session.h. */
#include "supervisor/session.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/kubeconfig.h"

#include <stdlib.h>

static const char *environment(const char *name)
{
    return getenv(name);
}

static void take_login(KubernetesConfig *kubernetes, const KubernetesLogin *login)
{
    if (login->kubeconfig) {
        mem_free(kubernetes->kubeconfig);
        kubernetes->kubeconfig = mem_strdup(login->kubeconfig);
    }
    if (login->kubeconfig || login->context) {
        mem_free(kubernetes->context);
        kubernetes->context = mem_strdup(login->context ? login->context : "");
    }
}

static int open_session(const char *file, ConfigForm form, const KubernetesLogin *login, Session *ret_session)
{
    Session session = {.state = STATE_NONE};
    Fault fault = {0};
    if (paths_find(&session.paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    session.paths.form = form;
    int status = paths_load_config(file, &session.paths, &session.config);
    if (status >= 0)
        return status;
    if (login)
        take_login(&session.config->kubernetes, login);
    if (config_take_environment(session.config, environment, &fault) ||
        (config_needs_store(session.config, STORE_KUBERNETES) &&
         kubeconfig_take(&session.config->kubernetes, &fault))) {
        log_error("%s.", fault.text);
        session_close(&session);
        return EXIT_CONFIG;
    }
    if (state_open(session.config->state, &session.state, &fault)) {
        log_error("%s", fault.text);
        session_close(&session);
        return EXIT_FAILED;
    }
    if (session.config->audit_key_file[0])
        session.state.audit_key = session.config->audit_key_file;
    *ret_session = session;
    return -1;
}

int session_open(const char *file, Session *ret_session)
{
    return open_session(file, CONFIG_MACHINE, NULL, ret_session);
}

int session_open_as(const char *file, const KubernetesLogin *login, Session *ret_session)
{
    return open_session(file, CONFIG_MACHINE, login, ret_session);
}

int session_open_form(const char *file, ConfigForm form, Session *ret_session)
{
    return open_session(file, form, NULL, ret_session);
}

void session_close(Session *session)
{
    state_close(&session->state);
    session->config = config_free(session->config);
}

int print_json(const JsonWriter *json)
{
    int r = json_finish(json);
    if (!r)
        r = buf_append(json->out, "\n", 1);
    if (!r)
        r = io_write_all(STDOUT_FILENO, json->out->data, json->out->len);
    if (r)
        log_error("Standard output cannot be written: %s.", strerror(-r));
    return r ? EXIT_FAILED : EXIT_OK;
}
