/* Everything that can be known before anything runs. See check.h. */
#include "purser/check.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/clerk-link.h"

#include <errno.h>
#include <stdio.h>

#define SINK_RETRY_MS 1000

static void found(Check *check, const char *what, const char *name, int status, const char *sentence)
{
    CheckFinding finding = {what, mem_strdup(name), status == EXIT_OK, false, mem_strdup(sentence)};
    MEM_PUSH(check->finding, check->n, finding);
    if (check->status == EXIT_OK)
        check->status = status;
}

static void check_configuration(Check *check)
{
    const Config *config = check->session->config;
    char sentence[160];
    snprintf(sentence, sizeof(sentence), "%zu sources, %zu retrievers", config->n_source,
             config->n_retriever);
    found(check, "configuration", config->path, EXIT_OK, sentence);
    for (size_t i = 0; i < config->n_note; i++)
        found(check, "note", "", EXIT_OK, config->note[i]);
    for (size_t i = 0; i < config->n_form; i++) {
        Fault fault = {0};
        snprintf(sentence, sizeof(sentence), "%zu rules, %zu tests pass", config->form[i]->n_rule,
                 config->form[i]->n_test);
        int r = policy_run_tests(config->form[i], &fault);
        found(check, "policy", config->form[i]->name, r ? EXIT_CONFIG : EXIT_OK, r ? fault.text : sentence);
    }
}

static bool goes_direct(const Site *site, const char *host)
{
    for (size_t i = 0; i < site->n_no_proxy; i++) {
        const char *entry = site->no_proxy[i];
        if (*entry == '.')
            entry++;
        size_t n = strlen(entry), len = strlen(host);
        if (strcmp(host, entry) == 0 ||
            (len > n && host[len - n - 1] == '.' && strcmp(host + len - n, entry) == 0))
            return true;
    }
    return false;
}

static void check_way_out(Check *check, const Source *source, uint32_t host)
{
    static const char *const use[] = {[HOST_API] = "",
                                      [HOST_GRAPHQL] = " (GraphQL)",
                                      [HOST_RULE] = " (a policy's)",
                                      [HOST_ARTIFACT] = " (files, no token)"};
    const Site *site = &check->session->config->site;
    const Origin *origin = source_origin(source, host);
    const char *what = use[source_use(source, host)];
    CLEANUP_MEM char *way =
        *source->connect_to
            ? mem_printf("%s:%u%s, dialled at %s", origin->host, origin->port, what, source->connect_to)
        : *site->proxy && !goes_direct(site, origin->host)
            ? mem_printf("%s:%u%s through the proxy %s", origin->host, origin->port, what, site->proxy)
            : mem_printf("%s:%u%s, directly", origin->host, origin->port, what);
    found(check, "way out", source->name, EXIT_OK, way);
}

static void check_ways_out(Check *check)
{
    const Config *config = check->session->config;
    for (size_t i = 0; i < config->n_source; i++) {
        const Source *source = &config->source[i];
        if (!check->selection->source[i])
            continue;
        for (uint32_t host = 0; host < source_hosts(source); host++)
            check_way_out(check, source, host);
    }
}

static void check_token(Check *check, const char *name, const KeeperToken *token)
{
    found(check, "token", name, token->found ? EXIT_OK : EXIT_TOKEN,
          token->found ? "found, and may be sent to this source's host" : token->sentence);
}

static void check_stores(Check *check)
{
    const Config *config = check->session->config;
    if (config_needs_store(config, STORE_VAULT)) {
        found(check, "store", "vault", EXIT_OK, config->vault.address);
        for (size_t i = 0; i < config->vault.n_shown; i++)
            found(check, "store", "vault", EXIT_OK, config->vault.shown[i]);
    }
    if (config_needs_store(config, STORE_KUBERNETES))
        found(check, "store", "kubernetes", EXIT_OK, config->kubernetes.origin.host);
}

/* What a GitHub App's tokens are asked to be allowed. */
static void check_minted(Check *check)
{
    const Config *config = check->session->config;
    for (size_t i = 0; i < config->n_source; i++) {
        const Mint *mint =
            config->source[i].token.kind == STORE_GITHUB_APP ? config->source[i].token.mint : NULL;
        if (!mint || !check->selection->source[i])
            continue;
        char count[24];
        snprintf(count, sizeof(count), "%zu", mint->n_list);
        CLEANUP_MEM char *sentence =
            mem_printf("its tokens are for %s repositories, with %s", mint->n_list ? count : "all",
                       mint->scope[0] ? mint->scope : "every permission that the App has");
        found(check, "minted", config->source[i].name, EXIT_OK, sentence);
    }
}

/* Where a token would lie while its run lasts. */
static const char *where_revealed(void)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if ((runtime && state_is_memory(runtime)) || state_is_memory("/dev/shm"))
        return "in a file in memory while the run lasts";
    return "in a file on a disk while the run lasts, since neither the runtime folder nor /dev/shm is a "
           "tmpfs here";
}

/* Sound, and to be known: a token in a script's hands is no longer kept by any rule. */
static void check_revealed(Check *check)
{
    const Config *config = check->session->config;
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t k = 0; check->selection->retriever[i] && k < config->retriever[i].n_grant; k++) {
            const GrantRef *grant = &config->retriever[i].grant[k];
            const Policy *policy = config->policy[grant->policy];
            if (!policy->reveal)
                continue;
            CLEANUP_MEM char *sentence = mem_printf(
                "policy %s reveals the token of source %s to it, %s; what it does with the token, no rule "
                "limits",
                policy->name, config->source[grant->source].name, where_revealed());
            found(check, "reveal", config->retriever[i].name, EXIT_OK, sentence);
            check->finding[check->n - 1].warning = true;
        }
}

/* As long as it lasts, and once it is over: both are to be known. */
static void check_modes(Check *check)
{
    const Config *config = check->session->config;
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t k = 0; check->selection->retriever[i] && k < config->retriever[i].n_grant; k++) {
            const GrantRef *grant = &config->retriever[i].grant[k];
            char day[CLOCK_TEXT];
            if (grant->audit_until == 0)
                continue;
            bool over = clock_wall() >= grant->audit_until;
            clock_format(day, grant->audit_until - CLOCK_SECOND);
            CLEANUP_MEM char *sentence = mem_printf(
                over ? "mode: audit for source %s ended with %.10s: what policy %s does not allow is "
                       "refused; take 'mode' and 'until' out"
                     : "mode: audit for source %s: until %.10s safe requests pass that policy %s does "
                       "not allow, and are recorded (would-refuse)",
                config->source[grant->source].name, day, config->policy[grant->policy]->name);
            found(check, "mode", config->retriever[i].name, EXIT_OK, sentence);
            check->finding[check->n - 1].warning = true;
        }
}

static void check_tokens(Check *check, const KeeperLink *keeper)
{
    const Config *config = check->session->config;
    for (size_t i = 0; i < config->n_source; i++)
        if (check->selection->source[i])
            check_token(check, config->source[i].name, &keeper->found[i].token);
}

/* A database's pod or the way to it may come a moment later than this one. */
static int ask_sink(const Check *check, Role *clerk, bool migrates, Fault *fault)
{
    for (bool said = false;; said = true) {
        int r = clerk_command(clerk, migrates ? IPC_CLERK_MIGRATE : IPC_CLERK_CHECK, NULL, NULL, 0,
                              migrates ? 120000 : 30000, NULL, NULL, fault);
        int64_t left = check->until - clock_mono();
        if (r != CLERK_E_OUTAGE || left <= 0)
            return r;
        if (!said)
            log_warning("%s; waiting for it, for at most %lld s", fault->text,
                        (long long)(left / CLOCK_SECOND + 1));
        if (role_pause(left < SINK_RETRY_MS * 1000 ? (int)(left / 1000) + 1 : SINK_RETRY_MS))
            return fault_prefix(fault, -ECANCELED, "told to end while this was waited for");
    }
}

static void check_sink(Check *check, KeeperLink *keeper)
{
    const Config *config = check->session->config;
    const char *name = config->sink.kind == SINK_SQLITE ? config->sink.path : "PostgreSQL";
    Role clerk = ROLE_NONE;
    Fault fault = {0};
    bool migrates = check->migrates && config->sink.migrate;
    if (!migrates && config->sink.kind == SINK_SQLITE && access(config->sink.path, F_OK) < 0 &&
        config->sink.migrate) {
        found(check, "database", name, EXIT_OK, "is not there yet; the first run makes it");
        return;
    }
    int r = clerk_start(config, &check->session->paths, keeper, &clerk, &fault);
    if (!r)
        r = ask_sink(check, &clerk, migrates, &fault);
    role_stop(&clerk, 1000);
    found(check, "database", name, r ? EXIT_SINK : EXIT_OK,
          r ? fault.text : "can be reached, and its schema fits");
}

void check_all(Check *check)
{
    Session *session = check->session;
    KeeperLink keeper = KEEPER_NONE;
    Fault fault = {0};
    check_configuration(check);
    check_ways_out(check);
    check_stores(check);
    check_minted(check);
    check_modes(check);
    check_revealed(check);
    int r = state_lock(&session->state, &fault);
    if (!r)
        r = keeper_start(session->config, &session->paths, &session->state, check->selection->source, &keeper,
                         &fault);
    if (!r)
        r = keeper_await_tokens(&keeper, &fault);
    if (r) {
        found(check, "keeper", "", r == -EBUSY ? EXIT_FAILED : EXIT_TOKEN, fault.text);
    } else {
        check_tokens(check, &keeper);
        if (!check->until_fault || check->status == EXIT_OK)
            check_sink(check, &keeper);
    }
    keeper_stop(&keeper);
}

void check_done(Check *check)
{
    for (size_t i = 0; i < check->n; i++) {
        mem_free(check->finding[i].name);
        mem_free(check->finding[i].sentence);
    }
    mem_free(check->finding);
}
