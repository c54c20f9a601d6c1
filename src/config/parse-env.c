/* `env:` of a retriever. See parse.h. A variable that names a source's Secret will hold that source's lease.
 */
#include "config/parse.h"

#include "base/mem.h"

#include <errno.h>
#include <strings.h>

typedef struct EnvForm {
    char *name, *value;
    const YamlNode *value_from;
} EnvForm;

typedef struct SecretKeyRef {
    char *name, *key;
    const YamlNode *ref;
    bool optional;
} SecretKeyRef;

/* Why a variable is not the retriever's to set, or NULL. */
static const char *owned_because(const char *name)
{
    static const struct {
        const char *name, *why;
    } owned[] = {
        {"HTTP_PROXY", "purser points it at the run's gate"},
        {"HTTPS_PROXY", "purser points it at the run's gate"},
        {"ALL_PROXY", "purser points it at the run's gate"},
        {"FTP_PROXY", "purser points it at the run's gate"},
        {"NO_PROXY", "purser clears it, so that no call goes past the gate"},
        {"SSL_CERT_FILE", "purser points it at the run's certificates"},
        {"SSL_CERT_DIR", "purser points it at the run's certificates"},
        {"REQUESTS_CA_BUNDLE", "purser points it at the run's certificates"},
        {"CURL_CA_BUNDLE", "purser points it at the run's certificates"},
        {"GIT_SSL_CAINFO", "purser points it at the run's certificates"},
        {"NODE_EXTRA_CA_CERTS", "purser points it at the run's certificates"},
        {"AWS_CA_BUNDLE", "purser points it at the run's certificates"},
        {"OUTPUTDIR", "purser makes that folder for each run"},
        {"HOME", "it is the run's own folder"},
        {"TMPDIR", "it is the run's own folder"},
        {"VIRTUAL_ENV", "purser prepares the environment from requirements.txt"},
    };
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        if (strcasecmp(name, owned[i].name) == 0)
            return owned[i].why;
    if (strncmp(name, "LD_", 3) == 0)
        return "it changes how every program starts, purser's runner too";
    if (strncmp(name, "PURSER_", 7) == 0)
        return "names that begin with PURSER_ are purser's own";
    return NULL;
}

int check_env_name(Loader *loader, const YamlNode *node, const char *name)
{
    size_t len = strlen(name);
    bool form = len > 0 && len <= 128 && !(name[0] >= '0' && name[0] <= '9') &&
                strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == len;
    if (!form)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "'%.80s' is not the name of an environment variable: letters, digits and '_', no digit first",
            name);
    const char *why = owned_because(name);
    if (why)
        return yaml_fault(loader->doc, node, loader->fault, "the variable %s cannot be set here: %s", name,
                          why);
    return 0;
}

/* The beginnings by which providers mark their tokens. */
static bool looks_like_token(const char *value)
{
    static const char *const mark[] = {"ghp_",   "gho_",  "ghu_",    "ghs_", "ghr_", "github_pat_",
                                       "glpat-", "bkua_", "CCIPAT_", "hvs.", "hvb."};
    for (size_t i = 0; i < COUNT_OF(mark); i++)
        if (strncmp(value, mark[i], strlen(mark[i])) == 0)
            return true;
    return false;
}

static bool is_listed(const YamlNode *sources, const char *name)
{
    if (!sources || sources->kind != YAML_LIST)
        return true;
    for (size_t i = 0; i < sources->n_child; i++)
        if (strcmp(sources->child[i]->text, name) == 0)
            return true;
    return false;
}

static int find_secret(Loader *loader, const YamlNode *node, const YamlNode *sources, const char *secret,
                       int32_t *ret_source)
{
    int32_t found = -1, unlisted = -1;
    const Config *config = loader->config;
    for (size_t i = 0; i < config->n_source; i++) {
        const TokenRef *token = &config->source[i].token;
        if ((token->kind != STORE_KEYRING && token->kind != STORE_KUBERNETES) ||
            strcmp(token->name, secret) != 0)
            continue;
        if (!is_listed(sources, config->source[i].name)) {
            unlisted = (int32_t)i;
            continue;
        }
        if (found >= 0)
            return yaml_fault(loader->doc, node, loader->fault,
                              "the Secret %s is that of both sources %s and %s; say which by 'sources: [%s]'",
                              secret, config->source[found].name, config->source[i].name,
                              config->source[found].name);
        found = (int32_t)i;
    }
    if (found < 0 && unlisted >= 0)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "the Secret %s is that of the source %s, which this retriever's 'sources' leaves out", secret,
            config->source[unlisted].name);
    if (found < 0)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "no source has its token in a Secret '%s'; a variable can only hold the lease of a source",
            secret);
    *ret_source = found;
    return 0;
}

static int read_value_from(Loader *loader, const YamlNode *node, const YamlNode *sources, int32_t *ret_source)
{
    static const YamlField from_field[] = {
        YAML_FIELD(SecretKeyRef, "secretKeyRef", YAML_AS_NODE, ref, .required = true),
    };
    static const YamlField ref_field[] = {
        YAML_FIELD(SecretKeyRef, "name", YAML_AS_TEXT, name, .most = 253, .required = true),
        YAML_FIELD(SecretKeyRef, "key", YAML_AS_TEXT, key, .most = 253),
        YAML_FIELD(SecretKeyRef, "optional", YAML_AS_BOOL, optional),
    };
    SecretKeyRef ref = {0};
    int r = YAML_READ_MAP(loader->doc, node, "valueFrom", from_field, &ref, loader->fault);
    if (!r)
        r = YAML_READ_MAP(loader->doc, ref.ref, "secretKeyRef", ref_field, &ref, loader->fault);
    if (!r)
        r = find_secret(loader, yaml_get(ref.ref, "name"), sources, ref.name, ret_source);
    mem_free(ref.name);
    mem_free(ref.key);
    return r;
}

/* A value must not stand where purser puts a lease. */
static int check_lease_names(Loader *loader, const YamlNode *node, const char *name)
{
    const Config *config = loader->config;
    for (size_t i = 0; i < config->n_source; i++)
        for (size_t k = 0; k < config->source[i].n_token_env; k++)
            if (strcmp(config->source[i].token_env[k], name) == 0)
                return yaml_fault(
                    loader->doc, node, loader->fault,
                    "the variable %s is where purser puts the lease of the source %s; take this entry "
                    "out, and if it was a token, replace it at the provider",
                    name, config->source[i].name);
    return 0;
}

static int fill_env(Loader *loader, const YamlNode *node, const YamlNode *sources, EnvForm *form,
                    Retriever *retriever)
{
    EnvEntry entry = {.source = -1};
    const YamlNode *name = yaml_get(node, "name");
    int r = check_env_name(loader, name, form->name);
    for (size_t i = 0; !r && i < retriever->n_env; i++)
        if (strcmp(retriever->env[i].name, form->name) == 0)
            r = yaml_fault(loader->doc, name, loader->fault, "the variable %s is there twice", form->name);
    if (!r && !form->value == !form->value_from)
        r = yaml_fault(loader->doc, node, loader->fault,
                       "the variable %s needs either 'value' or 'valueFrom' ('value: \"\"' for an empty one)",
                       form->name);
    if (!r && form->value)
        r = check_lease_names(loader, name, form->name);
    if (!r && form->value && looks_like_token(form->value))
        r = yaml_fault(
            loader->doc, yaml_get(node, "value"), loader->fault,
            "the value of %s looks like a provider's token; no token may stand in a file. Make it a source "
            "of its own, replace it at the provider, and put the new one into the keyring: purser token set "
            "NAME",
            form->name);
    if (!r && form->value_from)
        r = read_value_from(loader, form->value_from, sources, &entry.source);
    if (r)
        return r;
    entry.name = mem_strdup(form->name);
    entry.value = mem_strdup(form->value ? form->value : "");
    MEM_PUSH(retriever->env, retriever->n_env, entry);
    return 0;
}

int parse_env(Loader *loader, const YamlNode *list, const YamlNode *sources, Retriever *retriever)
{
    static const YamlField field[] = {
        YAML_FIELD(EnvForm, "name", YAML_AS_TEXT, name, .required = true),
        YAML_FIELD(EnvForm, "value", YAML_AS_VERBATIM, value, .most = 8192),
        YAML_FIELD(EnvForm, "valueFrom", YAML_AS_NODE, value_from),
    };
    if (!list)
        return 0;
    int r = yaml_want_list(loader->doc, list, "env", CONFIG_MAX_LIST, loader->fault);
    for (size_t i = 0; !r && i < list->n_child; i++) {
        EnvForm form = {0};
        r = YAML_READ_MAP(loader->doc, list->child[i], "a variable", field, &form, loader->fault);
        if (!r)
            r = fill_env(loader, list->child[i], sources, &form, retriever);
        mem_free(form.name);
        mem_free(form.value);
    }
    return r;
}
