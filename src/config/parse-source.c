/* `sources:`. See parse.h. What a provider's data file says is there first; what the source says itself goes
 * over it. */
#include "config/parse.h"
#include "config/provider.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>

typedef struct SourceForm {
    char *name, *provider, *api_url, *connect_to, *ca_file, *policy, *reserve;
    uint64_t rate;
    char **token_env, **artifact_host;
    size_t n_token_env, n_artifact_host;
    const YamlNode *token, *auth, *allow_private, *rotate;
} SourceForm;

static Source source_new(void)
{
    Source source = {0};
    char **const text[] = {
        &source.name,           &source.provider,         &source.api.host,    &source.api.base,
        &source.graphql_path,   &source.auth.user,        &source.auth.header, &source.connect_to,
        &source.ca_file,        &source.policy,           &source.probe,       &source.plan.schedule,
        &source.plan.time_zone, &source.plan.vault_token, &source.plan.path};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    rotation_init(&source.rotation);
    source.plan.life = ROTATE_PLAN_LIFE;
    source.token = token_ref_new();
    return source;
}

static char **copy_texts(char *const *list, size_t n)
{
    char **copy = n ? MEM_NEW_ARRAY(char *, n) : NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = mem_strdup(list[i]);
    return copy;
}

static void take_provider(Source *source, const Provider *provider)
{
    put_text(&source->provider, provider->name);
    put_text(&source->policy, provider->policy);
    put_text(&source->probe, provider->probe);
    rotation_copy(&source->rotation, &provider->rotation);
    put_text(&source->auth.user, provider->auth.user);
    put_text(&source->auth.header, provider->auth.header);
    source->auth.scheme = provider->auth.scheme;
    source->encoded_slash = provider->encoded_slash;
    source->token_env = copy_texts(provider->token_env, provider->n_token_env);
    source->n_token_env = provider->n_token_env;
    source->base_env = copy_texts(provider->base_env, provider->n_base_env);
    source->n_base_env = provider->n_base_env;
    if (provider->api.host[0]) {
        put_text(&source->api.host, provider->api.host);
        put_text(&source->api.base, provider->api.base);
        source->api.tls = provider->api.tls;
        source->api.port = provider->api.port;
    }
}

static int read_api(Loader *loader, const YamlNode *node, const SourceForm *form, Source *source)
{
    if (form->api_url) {
        Fault why = {""};
        Origin api;
        if (origin_parse(slice_of(form->api_url), &api, &why))
            return yaml_fault(loader->doc, yaml_get(node, "apiUrl"), loader->fault, "%s", why.text);
        origin_done(&source->api);
        source->api = api;
    }
    if (!source->api.host[0])
        return yaml_fault(loader->doc, node, loader->fault,
                          "the source %s needs the key 'apiUrl'%s, as in 'apiUrl: https://ci.example'",
                          source->name,
                          form->provider ? ": each installation of this provider has its own" : "");
    if (!source->api.tls && !form->allow_private)
        return yaml_fault(
            loader->doc, yaml_get(node, "apiUrl"), loader->fault,
            "plain http to this machine is for tests: say 'allowPrivateAddresses: [%s]' beside it",
            source->api.host);
    return 0;
}

/* Once the API's own place is known. */
static int read_hosts(Loader *loader, const YamlNode *node, const SourceForm *form, const Provider *provider,
                      Source *source)
{
    Fault why = {""};
    int r = place_graphql(source, provider ? provider->graphql_url : "", &why);
    if (!r && provider)
        r = place_artifacts(source, provider->artifact_host, provider->n_artifact_host, &why);
    if (r)
        return yaml_fault(loader->doc, node, loader->fault, "%s", why.text);
    const YamlNode *list = yaml_get(node, "artifactHosts");
    for (size_t i = 0; i < form->n_artifact_host; i++)
        if (!is_artifact_host(form->artifact_host[i]))
            return yaml_fault(
                loader->doc, list->child[i], loader->fault,
                "'artifactHosts' lists hosts, as in files.example or '*.files.example' (lower case, no "
                "https://, no port)");
    r = place_artifacts(source, form->artifact_host, form->n_artifact_host, &why);
    return r ? yaml_fault(loader->doc, list, loader->fault, "%s", why.text) : 0;
}

/* Link-local networks and the addresses at which clouds answer with credentials: never, whatever a file says.
 */
static const char *never_private(const Cidr *cidr)
{
    static const char *const never[] = {"169.254.0.0/16",  "fe80::/10",     "fd00:ec2::254",
                                        "100.100.100.200", "168.63.129.16", "192.0.0.192"};
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        Cidr other;
        if (!cidr_parse(slice_of(never[i]), &other) &&
            (cidr_contains(cidr, other.address) || cidr_contains(&other, cidr->address)))
            return never[i];
    }
    return NULL;
}

static int read_allow_private(Loader *loader, const YamlNode *list, Source *source)
{
    if (!list)
        return 0;
    int r = yaml_want_list(loader->doc, list, "allowPrivateAddresses", CONFIG_MAX_LIST, loader->fault);
    for (size_t i = 0; !r && i < list->n_child; i++) {
        const YamlNode *item = list->child[i];
        Cidr cidr;
        if (item->kind != YAML_TEXT || cidr_parse(slice_of(item->text), &cidr))
            return yaml_fault(
                loader->doc, item, loader->fault,
                "'allowPrivateAddresses' lists networks like 10.1.0.0/16, ::1/128 or 127.0.0.1");
        const char *never = never_private(&cidr);
        if (never)
            return yaml_fault(
                loader->doc, item, loader->fault,
                "%s holds %s, where machines get their credentials from; no source may ever lie there. "
                "Name narrower networks",
                item->text, never);
        MEM_PUSH(source->allow_private, source->n_allow_private, cidr);
    }
    return r;
}

/* "ADDRESS:PORT", "[v6]:PORT", "name:PORT" */
static int check_connect_to(Loader *loader, const YamlNode *node, const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    Slice host = {text, colon ? (size_t)(colon - text) : 0};
    if (slice_starts(host, "[") && slice_ends(host, "]"))
        host = (Slice){host.ptr + 1, host.len - 2};
    else if (memchr(host.ptr, ':', host.len))
        host.len = 0;
    if (!text_is_host(host) || text_parse_u64(slice_of(colon + 1), 65535, &port) || port == 0)
        return yaml_fault(loader->doc, node, loader->fault,
                          "'connectTo' is ADDRESS:PORT, as in 127.0.0.1:8443 or [::1]:8443");
    Cidr cidr;
    const char *never = cidr_parse(host, &cidr) ? NULL : never_private(&cidr);
    if (never)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "%.*s lies in %s, where machines get their credentials from; no source may ever lie there",
            (int)host.len, host.ptr, never);
    return 0;
}

static int read_token_env(Loader *loader, const YamlNode *node, SourceForm *form, Source *source)
{
    const YamlNode *list = yaml_get(node, "tokenEnv");
    for (size_t i = 0; i < form->n_token_env; i++) {
        int r = check_env_name(loader, list->child[i], form->token_env[i]);
        if (r)
            return r;
        bool there = false;
        for (size_t k = 0; k < source->n_token_env; k++)
            there |= strcmp(source->token_env[k], form->token_env[i]) == 0;
        if (!there)
            MEM_PUSH(source->token_env, source->n_token_env, mem_strdup(form->token_env[i]));
    }
    return 0;
}

static int load_provider(Loader *loader, const YamlNode *node, const SourceForm *form, Source *source,
                         Provider **ret_provider)
{
    Provider *provider = NULL;
    Fault why = {""};
    CLEANUP_MEM char *own = mem_printf("%s/policy", loader->config->directory);
    bool is_own = provider_is_in(own, form->provider);
    int r = provider_load(is_own ? own : loader->paths->policy_dir, form->provider, &provider, &why);
    if (r == -ENOENT)
        return yaml_fault(loader->doc, yaml_get(node, "provider"), loader->fault, "%s", why.text);
    if (r)
        return fault_set(loader->fault, r, "%s", why.text);
    take_provider(source, provider);
    *ret_provider = provider;
    return 0;
}

static int read_auth(Loader *loader, const YamlNode *node, const SourceForm *form, Source *source)
{
    if (form->auth)
        return parse_auth(loader->doc, form->auth, &source->auth, loader->fault);
    if (!form->provider)
        return yaml_fault(loader->doc, node, loader->fault,
                          "the source %s has no 'provider' (as in 'provider: github'), so it must say how "
                          "its API takes a token: 'auth: bearer', "
                          "'auth: {basic: USER}' or 'auth: {header: NAME}'",
                          source->name);
    if (source->auth.scheme == AUTH_BASIC && strcmp(source->auth.user, "USER") == 0)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "the source %s needs the key 'auth', as in 'auth: {basic: ci-reader}': %s takes a token "
            "together with the name of the user it belongs to",
            source->name, source->provider);
    return 0;
}

/* The first chart's sources name no provider: one whose apiUrl is a provider's own is that provider's. */
static void infer_provider(Loader *loader, const YamlNode *node, SourceForm *form)
{
    Origin api;
    if (form->provider || form->auth || !form->api_url || origin_parse(slice_of(form->api_url), &api, NULL))
        return;
    form->provider = provider_of_api(loader->paths->policy_dir, &api);
    origin_done(&api);
    if (form->provider)
        add_note(
            loader,
            "line %u: the source %s names no 'provider'; its apiUrl is that of %s, so it is taken for one.",
            node->line, form->name, form->provider);
}

/* "500" of what the provider counts, or "10%" of its limit. */
static int read_reserve(Loader *loader, const YamlNode *node, const char *text, Source *source)
{
    uint64_t number;
    Slice digits = slice_of(text);
    bool percent = slice_ends(digits, "%");
    digits.len -= percent;
    if (text_parse_u64(digits, percent ? 99 : UINT32_MAX, &number))
        return yaml_fault(
            loader->doc, node, loader->fault,
            "'reserve' is what is left of the provider's own limit for people: a number of requests, "
            "as in 500, or a part of it, as in 10%%");
    source->reserve = percent ? 0 : number;
    source->reserve_percent = percent ? (uint32_t)number : 0;
    return 0;
}

static int fill_source(Loader *loader, const YamlNode *node, SourceForm *form, Source *source)
{
    CLEANUP_PROVIDER Provider *provider = NULL;
    int32_t other = config_find_source(loader->config, form->name);
    if (strcmp(form->name, "purser") == 0)
        return yaml_fault(loader->doc, yaml_get(node, "name"), loader->fault,
                          "a source cannot be called purser: on a run's socket /purser/ is purser's own");
    if (other >= 0)
        return yaml_fault(loader->doc, yaml_get(node, "name"), loader->fault,
                          "there are two sources '%s'; the first is in line %u", form->name,
                          loader->config->source[other].line);
    put_text(&source->name, form->name);
    source->line = node->line;
    int r = 0;
    infer_provider(loader, node, form);
    if (form->provider)
        r = load_provider(loader, node, form, source, &provider);
    if (!r)
        r = read_allow_private(loader, form->allow_private, source);
    if (!r)
        r = read_api(loader, node, form, source);
    if (!r)
        r = read_hosts(loader, node, form, provider, source);
    if (!r)
        r = read_auth(loader, node, form, source);
    if (!r)
        r = read_token_env(loader, node, form, source);
    if (!r && form->connect_to)
        r = check_connect_to(loader, yaml_get(node, "connectTo"), form->connect_to);
    if (r)
        return r;
    source->per_kilosecond = form->rate;
    if (form->reserve && (r = read_reserve(loader, yaml_get(node, "reserve"), form->reserve, source)))
        return r;
    put_text(&source->connect_to, form->connect_to ? form->connect_to : "");
    put_text(&source->ca_file, form->ca_file ? form->ca_file : "");
    if (form->policy)
        put_text(&source->policy, form->policy);
    path_resolve(loader, &source->ca_file);
    r = parse_token(loader, form->token, "token", source->name, &source->token);
    r = r ? r : finish_mint(loader, form->token, source);
    return r || !form->rotate ? r : parse_rotate(loader, form->rotate, source);
}

static int parse_source(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(SourceForm, "name", YAML_AS_NAME, name, .required = true),
        YAML_FIELD(SourceForm, "provider", YAML_AS_TEXT, provider, .most = 63),
        YAML_FIELD(SourceForm, "apiUrl", YAML_AS_TEXT, api_url),
        YAML_FIELD(SourceForm, "token", YAML_AS_NODE, token, .required = true),
        YAML_FIELD(SourceForm, "auth", YAML_AS_NODE, auth),
        YAML_FIELD(SourceForm, "policy", YAML_AS_NAME, policy),
        YAML_FIELD(SourceForm, "tokenEnv", YAML_AS_TEXTS, token_env,
                   .count = offsetof(SourceForm, n_token_env), .most = 16),
        YAML_FIELD(SourceForm, "artifactHosts", YAML_AS_TEXTS, artifact_host,
                   .count = offsetof(SourceForm, n_artifact_host), .most = 16),
        YAML_FIELD(SourceForm, "connectTo", YAML_AS_TEXT, connect_to, .most = 300),
        YAML_FIELD(SourceForm, "caFile", YAML_AS_TEXT, ca_file),
        YAML_FIELD(SourceForm, "allowPrivateAddresses", YAML_AS_NODE, allow_private),
        YAML_FIELD(SourceForm, "rate", YAML_AS_RATE, rate),
        YAML_FIELD(SourceForm, "reserve", YAML_AS_TEXT, reserve, .most = 20),
        YAML_FIELD(SourceForm, "rotate", YAML_AS_NODE, rotate),
    };
    SourceForm form = {0};
    Source source = source_new();
    int r = YAML_READ_MAP(loader->doc, node, "a source", field, &form, loader->fault);
    if (!r)
        r = fill_source(loader, node, &form, &source);
    char *const text[] = {form.name,    form.provider, form.api_url, form.connect_to,
                          form.ca_file, form.policy,   form.reserve};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    mem_free_strings(form.token_env, form.n_token_env);
    mem_free_strings(form.artifact_host, form.n_artifact_host);
    MEM_PUSH(loader->config->source, loader->config->n_source,
             source); /* whole or not, the Config frees it */
    return r;
}

int parse_sources(Loader *loader, const YamlNode *list)
{
    if (!list)
        return 0;
    int r = yaml_want_list(loader->doc, list, "sources", CONFIG_MAX_SOURCES, loader->fault);
    for (size_t i = 0; !r && i < list->n_child; i++)
        r = parse_source(loader, list->child[i]);
    return r;
}
