/* `sink:`, `site:`, `retain:`, `keyring:`, `sandbox:`, `audit:`. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>

typedef struct SinkForm {
    const YamlNode *sqlite, *postgres;
    char *path, *dsn, *owner_role, *reader_role;
    const YamlNode *credential;
    bool migrate;
} SinkForm;

static int fill_postgres(Loader *loader, const YamlNode *node, const SinkForm *form, Sink *sink)
{
    if (dsn_has_password(form->dsn))
        return yaml_fault(
            loader->doc, yaml_get(node, "dsn"), loader->fault,
            "the 'dsn' holds a password (or an escape that could hide one); take it out, put it into the "
            "keyring with 'purser token set postgres', and write 'credentialFrom: {keyring: postgres}' "
            "beside the dsn");
    sink->kind = SINK_POSTGRES;
    sink->migrate = form->migrate;
    put_text(&sink->dsn, form->dsn);
    put_text(&sink->owner_role, form->owner_role ? form->owner_role : "");
    put_text(&sink->reader_role, form->reader_role ? form->reader_role : "");
    if (!form->credential)
        return 0;
    return parse_token(loader, form->credential, "credentialFrom", "postgres", &sink->credential);
}

static int read_postgres(Loader *loader, const YamlNode *node, SinkForm *form, Sink *sink)
{
    static const YamlField field[] = {
        YAML_FIELD(SinkForm, "dsn", YAML_AS_TEXT, dsn, .most = 2048, .required = true),
        YAML_FIELD(SinkForm, "credentialFrom", YAML_AS_NODE, credential),
        YAML_FIELD(SinkForm, "ownerRole", YAML_AS_TEXT, owner_role, .most = 63),
        YAML_FIELD(SinkForm, "readerRole", YAML_AS_TEXT, reader_role, .most = 63),
        YAML_FIELD(SinkForm, "migrate", YAML_AS_BOOL, migrate),
    };
    int r = YAML_READ_MAP(loader->doc, node, "postgres", field, form, loader->fault);
    return r ? r : fill_postgres(loader, node, form, sink);
}

static int read_sqlite(Loader *loader, const YamlNode *node, SinkForm *form, Sink *sink)
{
    static const YamlField field[] = {
        YAML_FIELD(SinkForm, "path", YAML_AS_TEXT, path, .required = true),
    };
    int r = YAML_READ_MAP(loader->doc, node, "sqlite", field, form, loader->fault);
    if (r)
        return r;
    put_text(&sink->path, form->path);
    path_resolve(loader, &sink->path);
    return 0;
}

int parse_sink(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(SinkForm, "sqlite", YAML_AS_NODE, sqlite),
        YAML_FIELD(SinkForm, "postgres", YAML_AS_NODE, postgres),
    };
    Sink *sink = &loader->config->sink;
    sink->migrate = true;
    mem_free(sink->path);
    sink->path = mem_printf("%s/sink/purser.db", loader->config->state);
    if (!node)
        return 0;
    SinkForm form = {.migrate = true};
    int r = YAML_READ_MAP(loader->doc, node, "sink", field, &form, loader->fault);
    if (!r && !form.sqlite == !form.postgres)
        r = yaml_fault(loader->doc, node, loader->fault,
                       "'sink' is either 'sqlite: {path: FILE}' or 'postgres: {dsn: ...}'");
    if (!r)
        r = form.sqlite ? read_sqlite(loader, form.sqlite, &form, sink)
                        : read_postgres(loader, form.postgres, &form, sink);
    mem_free(form.path);
    mem_free(form.dsn);
    mem_free(form.owner_role);
    mem_free(form.reader_role);
    return r;
}

/* NULL, or what is wrong with an URL of the site; never repeated in the message, since it may hold a
 * password. */
static const char *url_problem(const char *url, bool proxy)
{
    const char *rest = strstr(url, "://");
    if (!rest || (strncmp(url, "http://", 7) != 0 && (proxy || strncmp(url, "https://", 8) != 0)))
        return proxy ? "is http://HOST:PORT" : "is a URL that begins with https:// or http://";
    if (strchr(url, '@'))
        return "must not hold a user name or password; its credentials come from a store";
    const char *colon = strrchr(rest + 3, ':');
    uint64_t port;
    if (proxy &&
        (!colon || strchr(rest + 3, '/') || text_parse_u64(slice_of(colon + 1), 65535, &port) || port == 0))
        return "is http://HOST:PORT, with the port and without a path";
    return NULL;
}

int parse_site(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(Site, "proxy", YAML_AS_TEXT, proxy, .most = 300),
        YAML_FIELD(Site, "noProxy", YAML_AS_TEXTS, no_proxy, .count = offsetof(Site, n_no_proxy)),
        YAML_FIELD(Site, "caFile", YAML_AS_TEXT, ca_file),
        YAML_FIELD(Site, "packageIndex", YAML_AS_TEXT, package_index),
    };
    Site *site = &loader->config->site;
    if (!node)
        return 0;
    int r = YAML_READ_MAP(loader->doc, node, "site", field, site, loader->fault);
    const char *problem = !r && site->proxy[0] ? url_problem(site->proxy, true) : NULL;
    if (problem)
        return yaml_fault(loader->doc, yaml_get(node, "proxy"), loader->fault, "'proxy' %s", problem);
    problem = !r && site->package_index[0] ? url_problem(site->package_index, false) : NULL;
    if (problem)
        return yaml_fault(loader->doc, yaml_get(node, "packageIndex"), loader->fault, "'packageIndex' %s",
                          problem);
    path_resolve(loader, &site->ca_file);
    return r;
}

int parse_retain(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(Retain, "rows", YAML_AS_DURATION, rows),
        YAML_FIELD(Retain, "deadLetters", YAML_AS_DURATION, dead_letters),
        YAML_FIELD(Retain, "outputs", YAML_AS_DURATION, outputs),
        YAML_FIELD(Retain, "environments", YAML_AS_DURATION, environments),
        YAML_FIELD(Retain, "audit", YAML_AS_DURATION, audit),
    };
    return node ? YAML_READ_MAP(loader->doc, node, "retain", field, &loader->config->retain, loader->fault)
                : 0;
}

int parse_keyring(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(KeyringConfig, "path", YAML_AS_TEXT, path),
        YAML_FIELD(KeyringConfig, "keyFile", YAML_AS_TEXT, key_file),
        YAML_FIELD(KeyringConfig, "passphrase", YAML_AS_BOOL, passphrase),
    };
    KeyringConfig *keyring = &loader->config->keyring;
    mem_free(keyring->path);
    mem_free(keyring->key_file);
    keyring->path = mem_printf("%s/keyring", loader->config->state);
    keyring->key_file = mem_printf("%s/keyring.key", loader->config->state);
    if (!node)
        return 0;
    if (yaml_get(node, "passphrase") && yaml_get(node, "passphrase")->kind == YAML_TEXT &&
        strcmp(yaml_get(node, "passphrase")->text, "true") != 0 &&
        strcmp(yaml_get(node, "passphrase")->text, "false") != 0)
        return yaml_fault(
            loader->doc, yaml_get(node, "passphrase"), loader->fault,
            "'passphrase: true' makes purser ask for it; the passphrase itself must not stand in a file");
    int r = YAML_READ_MAP(loader->doc, node, "keyring", field, keyring, loader->fault);
    if (!r && keyring->passphrase && yaml_get(node, "keyFile"))
        r = yaml_fault(loader->doc, node, loader->fault,
                       "'keyring' has either a keyFile or 'passphrase: true'");
    path_resolve(loader, &keyring->path);
    path_resolve(loader, &keyring->key_file);
    return r;
}

typedef struct SandboxForm {
    bool required;
} SandboxForm;

int parse_sandbox(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(SandboxForm, "required", YAML_AS_BOOL, required, .required = true),
    };
    SandboxForm form = {.required = true};
    int r = node ? YAML_READ_MAP(loader->doc, node, "sandbox", field, &form, loader->fault) : 0;
    loader->config->sandbox_optional = !form.required;
    return r;
}

typedef struct AuditForm {
    char *on_failure, *key_file;
} AuditForm;

int parse_audit(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(AuditForm, "onFailure", YAML_AS_TEXT, on_failure, .most = 16),
        YAML_FIELD(AuditForm, "keyFile", YAML_AS_TEXT, key_file, .most = 4000),
    };
    AuditForm form = {0};
    int r = node ? YAML_READ_MAP(loader->doc, node, "audit", field, &form, loader->fault) : 0;
    bool go_on = form.on_failure && strcmp(form.on_failure, "continue") == 0;
    if (!r && form.on_failure && !go_on && strcmp(form.on_failure, "refuse") != 0)
        r = yaml_fault(loader->doc, yaml_get(node, "onFailure"), loader->fault,
                       "'onFailure' is 'refuse' (a call that cannot be recorded is not made) or 'continue'");
    if (!r && form.key_file && form.key_file[0] != '/')
        r = yaml_fault(loader->doc, yaml_get(node, "keyFile"), loader->fault,
                       "'keyFile' is the absolute path of a file of 32 random bytes");
    put_text(&loader->config->audit_key_file, form.key_file ? form.key_file : "");
    loader->config->audit_optional = go_on;
    mem_free(form.on_failure);
    mem_free(form.key_file);
    return r;
}
