/* Reading a provider's data file. See provider.h and struct Provider. */
#include "config/provider.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_PROVIDER_BYTES (16u << 10)

typedef struct ProviderText {
    char *api_url;
    char *documentation;
    char *encoded_slash;
    const YamlNode *auth, *rotation;
} ProviderText;

Provider *provider_free(Provider *provider)
{
    if (!provider)
        return NULL;
    mem_free(provider->name);
    origin_done(&provider->api);
    mem_free(provider->graphql_url);
    mem_free(provider->auth.user);
    mem_free(provider->auth.header);
    mem_free_strings(provider->token_env, provider->n_token_env);
    mem_free_strings(provider->base_env, provider->n_base_env);
    mem_free_strings(provider->artifact_host, provider->n_artifact_host);
    mem_free(provider->policy);
    mem_free(provider->probe);
    rotation_done(&provider->rotation);
    mem_free(provider);
    return NULL;
}

static Provider *provider_new(void)
{
    Provider *provider = MEM_NEW(Provider);
    char **const text[] = {&provider->name,        &provider->graphql_url, &provider->auth.user,
                           &provider->auth.header, &provider->policy,      &provider->probe,
                           &provider->api.host,    &provider->api.base};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    rotation_init(&provider->rotation);
    return provider;
}

/* Two tables, since the keys of one mapping fill a Provider and things that only live while it is read. */
typedef struct ProviderForm {
    Provider provider;
    ProviderText text;
} ProviderForm;

static int read_rotation(const YamlDoc *doc, const YamlNode *node, Rotation *rotation, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(Rotation, "account", YAML_AS_TEXT, account),
        YAML_FIELD(Rotation, "identity", YAML_AS_TEXT, identity),
        YAML_FIELD(Rotation, "scopes", YAML_AS_TEXT, scopes),
        YAML_FIELD(Rotation, "scopesHeader", YAML_AS_TEXT, scopes_header),
        YAML_FIELD(Rotation, "expires", YAML_AS_TEXT, expires),
        YAML_FIELD(Rotation, "retire", YAML_AS_TEXT, retire),
        YAML_FIELD(Rotation, "renew", YAML_AS_TEXT, renew),
        YAML_FIELD(Rotation, "renewToken", YAML_AS_TEXT, renew_token),
        YAML_FIELD(Rotation, "renewExpires", YAML_AS_TEXT, renew_expires),
        YAML_FIELD(Rotation, "renewScopes", YAML_AS_TEXT, renew_scopes),
        YAML_FIELD(Rotation, "renewOverlaps", YAML_AS_BOOL, renew_overlaps),
    };
    int r = YAML_READ_MAP(doc, node, "rotation", field, rotation, fault);
    if (!r && ((rotation->account[0] && rotation->account[0] != '/') ||
               (rotation->retire[0] && rotation->retire[0] != '/')))
        r = yaml_fault(doc, node, fault, "'account' and 'retire' are paths and begin with '/'");
    if (!r && rotation->renew[0] && (rotation->renew[0] != '/' || !rotation->renew_token[0]))
        r = yaml_fault(
            doc, node, fault,
            "'renew' is a path and begins with '/'; 'renewToken' is the key of its answer's token");
    return r;
}

static int read_form(const YamlDoc *doc, ProviderForm *form, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(ProviderForm, "provider", YAML_AS_NAME, provider.name, .required = true),
        YAML_FIELD(ProviderForm, "documentation", YAML_AS_TEXT, text.documentation),
        YAML_FIELD(ProviderForm, "apiUrl", YAML_AS_TEXT, text.api_url),
        YAML_FIELD(ProviderForm, "graphql", YAML_AS_TEXT, provider.graphql_url),
        YAML_FIELD(ProviderForm, "auth", YAML_AS_NODE, text.auth, .required = true),
        YAML_FIELD(ProviderForm, "tokenEnv", YAML_AS_TEXTS, provider.token_env,
                   .count = offsetof(ProviderForm, provider.n_token_env), .required = true),
        YAML_FIELD(ProviderForm, "baseEnv", YAML_AS_TEXTS, provider.base_env,
                   .count = offsetof(ProviderForm, provider.n_base_env)),
        YAML_FIELD(ProviderForm, "artifactHosts", YAML_AS_TEXTS, provider.artifact_host,
                   .count = offsetof(ProviderForm, provider.n_artifact_host), .most = 16),
        YAML_FIELD(ProviderForm, "encodedSlash", YAML_AS_TEXT, text.encoded_slash),
        YAML_FIELD(ProviderForm, "policy", YAML_AS_NAME, provider.policy),
        YAML_FIELD(ProviderForm, "probe", YAML_AS_TEXT, provider.probe),
        YAML_FIELD(ProviderForm, "rotation", YAML_AS_NODE, text.rotation),
    };
    int r = YAML_READ_MAP(doc, doc->root, "a provider", field, form, fault);
    if (!r)
        r = parse_auth(doc, form->text.auth, &form->provider.auth, fault);
    if (!r && form->text.rotation)
        r = read_rotation(doc, form->text.rotation, &form->provider.rotation, fault);
    if (!r && form->text.api_url) {
        Fault why = {""};
        origin_done(&form->provider.api);
        r = origin_parse(slice_of(form->text.api_url), &form->provider.api, &why);
        if (r)
            r = yaml_fault(doc, yaml_get(doc->root, "apiUrl"), fault, "%s", why.text);
    }
    for (size_t i = 0; !r && i < form->provider.n_artifact_host; i++)
        if (!is_artifact_host(form->provider.artifact_host[i]))
            r = yaml_fault(doc, yaml_get(doc->root, "artifactHosts"), fault,
                           "'artifactHosts' lists hosts, as in files.example or '*.files.example'");
    form->provider.encoded_slash = form->text.encoded_slash != NULL;
    if (!r && form->text.encoded_slash && strcmp(form->text.encoded_slash, "segment") != 0)
        r = yaml_fault(doc, yaml_get(doc->root, "encodedSlash"), fault,
                       "'encodedSlash' is segment, or is left out: then a path with %%2F is refused");
    if (!r && form->provider.probe[0] && form->provider.probe[0] != '/')
        r = yaml_fault(doc, yaml_get(doc->root, "probe"), fault, "'probe' is a path and begins with '/'");
    return r;
}

static int parse_provider(const char *file, const char *name, Slice text, Provider **ret_provider,
                          Fault *fault)
{
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = yaml_doc_read(file, text, MAX_PROVIDER_BYTES, &doc, fault);
    if (r)
        return -EINVAL;
    Provider *provider = provider_new();
    ProviderForm form = {.provider = *provider};
    r = read_form(doc, &form, fault);
    *provider = form.provider;
    mem_free(form.text.api_url);
    mem_free(form.text.documentation);
    mem_free(form.text.encoded_slash);
    if (!r && strcmp(provider->name, name) != 0)
        r = yaml_fault(doc, doc->root, fault, "this file must say 'provider: %s', as its name does", name);
    if (r) {
        provider_free(provider);
        return -EINVAL;
    }
    *ret_provider = provider;
    return 0;
}

static int fault_none(const char *folder, const char *name, Fault *fault)
{
    char *known[64], list[400] = "";
    size_t n_known = 0, n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && n_known < COUNT_OF(known) && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        if (len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0)
            known[n_known++] = mem_dup(entry->d_name, len - 5);
    }
    if (dir)
        closedir(dir);
    const char *nearest = yaml_nearest(name, (const char *const *)known, n_known);
    for (size_t i = 0; i < n_known && n < sizeof(list); i++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", known[i]);
    fault_set(fault, -ENOENT,
              "there is no provider '%.63s'%s%s%s (there are: %s); for another API leave 'provider' out "
              "and say 'apiUrl', 'auth' and 'policy'",
              name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "",
              n_known ? list : "none");
    for (size_t i = 0; i < n_known; i++)
        mem_free(known[i]);
    return -ENOENT;
}

bool provider_is_in(const char *policy_dir, const char *name)
{
    CLEANUP_MEM char *file = mem_printf("%s/provider/%s.yaml", policy_dir, name);
    return text_is_name(slice_of(name)) && access(file, F_OK) == 0;
}

int provider_load(const char *policy_dir, const char *name, Provider **ret_provider, Fault *fault)
{
    CLEANUP_BUF Buf bytes = BUF_INIT(MAX_PROVIDER_BYTES);
    CLEANUP_MEM char *folder = mem_printf("%s/provider", policy_dir);
    CLEANUP_MEM char *file = mem_printf("%s/%s.yaml", folder, name);
    int r = text_is_name(slice_of(name)) ? io_read_file(AT_FDCWD, file, &bytes) : -ENOENT;
    if (r == -ENOENT)
        return fault_none(folder, name, fault);
    if (r)
        return fault_set(fault, -EINVAL, "%s cannot be read: %s", file, strerror(-r));
    return parse_provider(file, name, buf_slice(&bytes), ret_provider, fault);
}

char *provider_of_api(const char *policy_dir, const Origin *api)
{
    CLEANUP_MEM char *folder = mem_printf("%s/provider", policy_dir);
    char *found = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        Slice file = slice_of(entry->d_name);
        Provider *provider = NULL;
        if (!slice_ends(file, ".yaml"))
            continue;
        CLEANUP_MEM char *name = mem_dup(file.ptr, file.len - 5);
        if (provider_load(policy_dir, name, &provider, NULL) == 0 && provider &&
            strcmp(provider->api.host, api->host) == 0 && strcmp(provider->api.base, api->base) == 0 &&
            provider->api.port == api->port && api->tls)
            found = mem_strdup(name);
        provider_free(provider);
    }
    if (dir)
        closedir(dir);
    return found;
}
