/* purser.yaml as a whole. See config.h; the parts are parse-*.c. */
#include "config/parse.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define DAY (86400ull * CLOCK_SECOND)

typedef struct Top {
    char *schedule, *time_zone, *state;
    const YamlNode *sources, *retrievers, *sink, *site, *retain, *keyring, *sandbox, *vault, *kubernetes,
        *audit;
} Top;

static Config *config_new(const char *path)
{
    Config *config = MEM_NEW(Config);
    const char *slash = strrchr(path, '/');
    char **const text[] = {&config->state,
                           &config->sink.path,
                           &config->sink.dsn,
                           &config->sink.owner_role,
                           &config->sink.reader_role,
                           &config->site.proxy,
                           &config->site.ca_file,
                           &config->site.package_index,
                           &config->keyring.path,
                           &config->keyring.key_file,
                           &config->audit_key_file};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    config->path = mem_strdup(path);
    config->directory =
        slash && slash > path ? mem_dup(path, (size_t)(slash - path)) : mem_strdup(slash ? "/" : ".");
    config->sink.credential = token_ref_new();
    stores_default(config);
    config->patience = PATIENCE;
    config->retain = (Retain){.dead_letters = 90 * DAY, .outputs = 30 * DAY, .environments = 30 * DAY};
    return config;
}

static int read_times(Loader *loader, Top *top)
{
    loader->schedule = top->schedule ? STEAL(top->schedule) : mem_strdup("");
    loader->time_zone = top->time_zone ? STEAL(top->time_zone) : mem_strdup("");
    int r = 0;
    if (loader->schedule[0])
        r = check_schedule(loader, yaml_get(loader->doc->root, "schedule"), loader->schedule);
    if (!r && loader->time_zone[0])
        r = check_time_zone(loader, yaml_get(loader->doc->root, "timeZone"), loader->time_zone);
    return r;
}

static int read_parts(Loader *loader, Top *top)
{
    Config *config = loader->config;
    int r = read_times(loader, top);
    put_text(&config->state, top->state ? top->state : loader->paths->default_state);
    path_resolve(loader, &config->state);
    if (!r)
        r = parse_sources(loader, top->sources);
    if (!r)
        r = parse_retrievers(loader, top->retrievers);
    if (!r)
        r = parse_rule_hosts(loader);
    if (!r)
        r = narrow_minted(loader);
    if (!r)
        r = check_egress(loader, top->retrievers);
    if (!r)
        r = parse_sink(loader, top->sink);
    if (!r)
        r = parse_site(loader, top->site);
    if (!r)
        r = parse_retain(loader, top->retain);
    if (!r)
        r = parse_keyring(loader, top->keyring);
    if (!r)
        r = parse_vault(loader, top->vault);
    if (!r)
        r = parse_kubernetes(loader, top->kubernetes);
    if (!r)
        r = parse_sandbox(loader, top->sandbox);
    return r ? r : parse_audit(loader, top->audit);
}

static int read_top(Loader *loader)
{
    static const YamlField field[] = {
        YAML_FIELD(Top, "sources", YAML_AS_NODE, sources),
        YAML_FIELD(Top, "retrievers", YAML_AS_NODE, retrievers),
        YAML_FIELD(Top, "schedule", YAML_AS_TEXT, schedule),
        YAML_FIELD(Top, "timeZone", YAML_AS_TEXT, time_zone, .most = 64),
        YAML_FIELD(Top, "sink", YAML_AS_NODE, sink),
        YAML_FIELD(Top, "site", YAML_AS_NODE, site),
        YAML_FIELD(Top, "retain", YAML_AS_NODE, retain),
        YAML_FIELD(Top, "keyring", YAML_AS_NODE, keyring),
        YAML_FIELD(Top, "state", YAML_AS_TEXT, state),
        YAML_FIELD(Top, "sandbox", YAML_AS_NODE, sandbox),
        YAML_FIELD(Top, "vault", YAML_AS_NODE, vault),
        YAML_FIELD(Top, "kubernetes", YAML_AS_NODE, kubernetes),
        YAML_FIELD(Top, "audit", YAML_AS_NODE, audit),
    };
    Top top = {0};
    int r = YAML_READ_MAP(loader->doc, loader->doc->root, "purser.yaml", field, &top, loader->fault);
    if (!r)
        r = read_parts(loader, &top);
    mem_free(top.schedule);
    mem_free(top.time_zone);
    mem_free(top.state);
    return r;
}

int config_parse(const char *path, Slice text, const ConfigPaths *paths, Config **ret_config, Fault *fault)
{
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = yaml_doc_read(path, text, CONFIG_MAX_BYTES, &doc, fault);
    if (r)
        return -EINVAL;
    if (paths->form == CONFIG_CHART && doc->root && doc->root->kind == YAML_MAP) {
        r = chart_values_reduce(doc, fault);
        if (r)
            return r;
    }
    Loader loader = {.paths = paths, .doc = doc, .config = config_new(path), .fault = fault};
    r = read_top(&loader);
    mem_free(loader.schedule);
    mem_free(loader.time_zone);
    if (r) {
        config_free(loader.config);
        return r;
    }
    *ret_config = loader.config;
    return 0;
}

int config_load(const char *path, const ConfigPaths *paths, Config **ret_config, Fault *fault)
{
    CLEANUP_BUF Buf bytes = BUF_INIT(CONFIG_MAX_BYTES);
    int r = io_read_file(AT_FDCWD, path, &bytes);
    switch (r) {
    case 0:
        return config_parse(path, buf_slice(&bytes), paths, ret_config, fault);
    case -ENOENT:
        return fault_set(fault, r, "there is no configuration file %s", path);
    case -EFBIG:
        return fault_set(fault, r, "%s: the file is larger than %u KiB, which no configuration needs to be",
                         path, CONFIG_MAX_BYTES >> 10);
    case -EINVAL:
        return fault_set(fault, r, "%s is not a regular file", path);
    default:
        return fault_set(fault, r, "the configuration file %s cannot be read: %s", path, strerror(-r));
    }
}
