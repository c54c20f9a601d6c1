/* `token: {githubApp: ...}`, `{oauth2: ...}`, `{kubernetesTokenRequest: ...}`: how a token is minted, and
 * where the long-lived part is kept. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"

#include <errno.h>

#define SECOND 1000000ull

typedef struct MintForm {
    char *url, *id, *account, *scope, *ca_file;
    char **list;
    size_t n_list;
    uint64_t app_id, installation_id, life;
    const YamlNode *secret, *key, *permissions;
} MintForm;

static int read_permissions(Loader *loader, const YamlNode *node, Mint *mint)
{
    PolicyPermissions permissions = {0};
    int r = policy_read_permissions(loader->doc, node, &permissions, loader->fault);
    if (!r && put_permissions(mint, &permissions))
        r = yaml_fault(loader->doc, node, loader->fault, "'permissions' is too long");
    policy_permissions_done(&permissions);
    return r;
}

/* Where the long-lived part is: any store, but not one that mints itself. */
static int read_secret(Loader *loader, const YamlNode *node, const char *key, Mint *mint)
{
    int r = parse_token(loader, node, key, "mint", &mint->secret);
    if (!r && mint->secret.mint)
        r = yaml_fault(loader->doc, node, loader->fault,
                       "'%s' is kept in a store; it cannot be minted itself", key);
    return r;
}

static int check_url(Loader *loader, const YamlNode *node, const char *key, const char *url)
{
    Origin origin;
    Fault why = {""};
    if (!url)
        return 0;
    if (origin_parse(slice_of(url), &origin, &why))
        return yaml_fault(loader->doc, yaml_get(node, key), loader->fault, "%s", why.text);
    origin_done(&origin);
    return 0;
}

static int read_github_app(Loader *loader, const YamlNode *node, MintForm *form, Mint *mint)
{
    static const YamlField field[] = {
        YAML_FIELD(MintForm, "appId", YAML_AS_U64, app_id, .required = true),
        YAML_FIELD(MintForm, "installationId", YAML_AS_U64, installation_id, .required = true),
        YAML_FIELD(MintForm, "privateKey", YAML_AS_NODE, secret, .required = true),
        YAML_FIELD(MintForm, "apiUrl", YAML_AS_TEXT, url),
        YAML_FIELD(MintForm, "caFile", YAML_AS_TEXT, ca_file),
        YAML_FIELD(MintForm, "repositories", YAML_AS_TEXTS, list, .count = offsetof(MintForm, n_list)),
        YAML_FIELD(MintForm, "permissions", YAML_AS_NODE, permissions),
    };
    int r = YAML_READ_MAP(loader->doc, node, "githubApp", field, form, loader->fault);
    r = r ? r : check_url(loader, node, "apiUrl", form->url);
    r = r ? r : read_secret(loader, form->secret, "privateKey", mint);
    if (!r && form->permissions)
        r = read_permissions(loader, form->permissions, mint);
    mem_free(mint->id);
    mem_free(mint->account);
    mint->id = mem_printf("%llu", (unsigned long long)form->app_id);
    mint->account = mem_printf("%llu", (unsigned long long)form->installation_id);
    return r;
}

static int read_oauth2(Loader *loader, const YamlNode *node, MintForm *form, Mint *mint)
{
    static const YamlField field[] = {
        YAML_FIELD(MintForm, "tokenUrl", YAML_AS_TEXT, url, .required = true),
        YAML_FIELD(MintForm, "clientId", YAML_AS_TEXT, id, .most = 512, .required = true),
        YAML_FIELD(MintForm, "clientSecret", YAML_AS_NODE, secret),
        YAML_FIELD(MintForm, "privateKey", YAML_AS_NODE, key),
        YAML_FIELD(MintForm, "keyId", YAML_AS_TEXT, account, .most = 253),
        YAML_FIELD(MintForm, "scope", YAML_AS_TEXT, scope),
        YAML_FIELD(MintForm, "caFile", YAML_AS_TEXT, ca_file),
    };
    int r = YAML_READ_MAP(loader->doc, node, "oauth2", field, form, loader->fault);
    r = r ? r : check_url(loader, node, "tokenUrl", form->url);
    if (!r && !form->secret == !form->key)
        r = yaml_fault(loader->doc, node, loader->fault,
                       "'oauth2' has either a 'clientSecret' or a 'privateKey' that signs an assertion");
    mint->assertion = form->key != NULL;
    put_text(&mint->id, form->id ? form->id : "");
    put_text(&mint->account, form->account ? form->account : "");
    put_text(&mint->scope, form->scope ? form->scope : "");
    return r ? r
             : read_secret(loader, form->key ? form->key : form->secret,
                           form->key ? "privateKey" : "clientSecret", mint);
}

static int read_token_request(Loader *loader, const YamlNode *node, MintForm *form, Mint *mint)
{
    static const YamlField field[] = {
        YAML_FIELD(MintForm, "serviceAccount", YAML_AS_TEXT, id, .most = 253, .required = true),
        YAML_FIELD(MintForm, "namespace", YAML_AS_TEXT, account, .most = 63),
        YAML_FIELD(MintForm, "audiences", YAML_AS_TEXTS, list, .count = offsetof(MintForm, n_list),
                   .required = true),
        YAML_FIELD(MintForm, "life", YAML_AS_DURATION, life),
    };
    form->life = 3600 * SECOND;
    int r = YAML_READ_MAP(loader->doc, node, "kubernetesTokenRequest", field, form, loader->fault);
    if (!r && (form->life < 600 * SECOND || form->life > 86400 * SECOND))
        r = yaml_fault(loader->doc, yaml_get(node, "life"), loader->fault,
                       "'life' is from 10m, the least that Kubernetes gives, to 24h");
    put_text(&mint->id, form->id ? form->id : "");
    put_text(&mint->account, form->account ? form->account : "");
    mint->life = (uint32_t)(form->life / SECOND);
    return r;
}

static Mint *mint_new(void)
{
    Mint *mint = MEM_NEW(Mint);
    char **const text[] = {&mint->url,   &mint->id,      &mint->account,
                           &mint->scope, &mint->ca_file, &mint->connect_to};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    mint->secret = token_ref_new();
    return mint;
}

int parse_mint(Loader *loader, const YamlNode *node, StoreKind kind, TokenRef *token)
{
    MintForm form = {0};
    Mint *mint = token->mint = mint_new();
    token->kind = kind;
    int r = kind == STORE_GITHUB_APP ? read_github_app(loader, node, &form, mint)
            : kind == STORE_OAUTH2   ? read_oauth2(loader, node, &form, mint)
                                     : read_token_request(loader, node, &form, mint);
    put_text(&mint->url, form.url ? form.url : "");
    put_text(&mint->ca_file, form.ca_file ? form.ca_file : "");
    path_resolve(loader, &mint->ca_file);
    mint->list = STEAL(form.list);
    mint->n_list = form.n_list;
    put_text(&token->name, mint->id);
    char *const text[] = {form.url, form.id, form.account, form.scope, form.ca_file};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    return r;
}

/* An App's tokens come from the API that they are for, over the same way. */
int finish_mint(Loader *loader, const YamlNode *node, Source *source)
{
    Mint *mint = source->token.kind == STORE_GITHUB_APP ? source->token.mint : NULL;
    const Origin *api = &source->api;
    if (!mint || mint->url[0])
        return 0;
    if (!api->tls)
        return yaml_fault(loader->doc, node, loader->fault, "a GitHub App's key is not used over plain http");
    mem_free(mint->url);
    mint->url = mem_printf(strchr(api->host, ':') ? "https://[%s]:%u%s" : "https://%s:%u%s", api->host,
                           api->port, api->base);
    put_text(&mint->connect_to, source->connect_to);
    if (!mint->ca_file[0])
        put_text(&mint->ca_file, source->ca_file);
    return 0;
}
