/* `purser token list`, of sources. See token-list.h. */
#include "supervisor/token-list.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/token-state.h"

#include <errno.h>

bool token_list_wanted(const Config *config)
{
    for (size_t i = 0; i < config->n_source; i++)
        if (config->source[i].token.kind != STORE_KEYRING)
            return true;
    return false;
}

/* Only the keeper that holds a token knows of it: the one that runs here, or one of our own, for a moment. */
static int ask(Session *session, KeeperFound *found, Fault *fault)
{
    const Config *config = session->config;
    KeeperLink keeper = KEEPER_NONE;
    int r = state_lock(&session->state, fault);
    if (r == -EBUSY)
        return token_state_read(&session->state, config, found)
                   ? fault_set(fault, r, "The purser that runs here has not told yet; try again.")
                   : 0;
    CLEANUP_MEM bool *used = MEM_NEW_ARRAY(bool, config->n_source ? config->n_source : 1);
    memset(used, true, config->n_source * sizeof(bool));
    r = r ? r : keeper_start(config, &session->paths, &session->state, used, &keeper, fault);
    r = r ? r : keeper_await_tokens(&keeper, fault);
    for (size_t i = 0; r == 0 && i < config->n_source; i++)
        found[i] = keeper.found[i];
    keeper_stop(&keeper);
    return r;
}

static int print(const Config *config, const KeeperFound *found, bool as_json)
{
    CLEANUP_BUF Buf text = BUF_INIT(4u << 20);
    JsonWriter json = JSON_WRITER(&text);
    if (!as_json) {
        token_state_print(config, found);
        return EXIT_OK;
    }
    token_state_json(config, found, &json);
    return print_json(&json);
}

int token_list_sources(const char *file, bool as_json)
{
    Session session;
    Fault fault = {0};
    int status = session_open(file, &session);
    if (status >= 0)
        return status;
    CLEANUP_MEM KeeperFound *found =
        MEM_NEW_ARRAY(KeeperFound, session.config->n_source ? session.config->n_source : 1);
    status = EXIT_TOKEN;
    if (ask(&session, found, &fault))
        log_error("%s", fault.text);
    else
        status = print(session.config, found, as_json);
    session_close(&session);
    return status;
}
