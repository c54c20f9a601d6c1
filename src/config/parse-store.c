/* `vault:` and `kubernetes:`: where the stores are and how to log in. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"

#include <errno.h>

#define SECOND 1000000ull

static const StoreLife usual_life = {300 * SECOND, 3600 * SECOND, SPREAD_UNSAID};

void stores_default(Config *config)
{
    VaultConfig *vault = &config->vault;
    KubernetesConfig *kubernetes = &config->kubernetes;
    char **const text[] = {
        &vault->address,          &vault->space,           &vault->ca_file,        &vault->cert_file,
        &vault->key_file,         &vault->server_name,     &vault->mount,          &vault->role,
        &vault->role_id,          &vault->audience,        &vault->origin.host,    &vault->origin.base,
        &kubernetes->space,       &kubernetes->ca_file,    &kubernetes->cert_file, &kubernetes->key_file,
        &kubernetes->server_name, &kubernetes->kubeconfig, &kubernetes->context,   &kubernetes->origin.host,
        &kubernetes->origin.base};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    vault->secret = token_ref_new();
    kubernetes->token = token_ref_new();
    vault->life = kubernetes->life = usual_life;
}

static int check_life(Loader *loader, const YamlNode *node, const StoreLife *life)
{
    if (life->refresh < SECOND)
        return yaml_fault(loader->doc, yaml_get(node, "refresh"), loader->fault,
                          "'refresh' is how often a token is read again, 1s at least");
    if (life->max_stale < life->refresh)
        return yaml_fault(
            loader->doc, yaml_get(node, "maxStale") ? yaml_get(node, "maxStale") : node, loader->fault,
            "'maxStale' is how long a token is used without the store's confirming it; it cannot "
            "be shorter than 'refresh'");
    if (life->spread != SPREAD_UNSAID && life->spread > 600 * SECOND)
        return yaml_fault(loader->doc, yaml_get(node, "spread"), loader->fault, "'spread' is 10m at most");
    return 0;
}

/* A token that is kept where the login itself does not depend on this store. */
static int read_secret(Loader *loader, const YamlNode *node, const char *key, VaultConfig *vault)
{
    int r = parse_token(loader, node, key, "vault", &vault->secret);
    StoreKind kind = vault->secret.kind;
    if (r || kind == STORE_KEYRING || kind == STORE_FILE || kind == STORE_KUBERNETES)
        return r;
    return yaml_fault(loader->doc, node, loader->fault,
                      "'%s' of Vault's login is kept in a file, the keyring or a Kubernetes Secret", key);
}

typedef struct LoginForm {
    char *mount, *role, *role_id, *audience, *token_file, *name;
    const YamlNode *secret;
    bool wrapped;
} LoginForm;

static int set_jwt_file(Loader *loader, const LoginForm *form, const YamlNode *node, VaultConfig *vault)
{
    if (!form->token_file && !form->secret)
        return yaml_fault(loader->doc, node, loader->fault,
                          "say where the JWT is: 'tokenFile: /var/run/secrets/tokens/vault' (a projected "
                          "service-account token with Vault's audience)");
    if (form->secret)
        return read_secret(loader, form->secret, "jwt", vault);
    vault->secret.kind = STORE_FILE;
    put_text(&vault->secret.name, form->token_file);
    path_resolve(loader, &vault->secret.name);
    return 0;
}

static int fill_login(Loader *loader, const YamlNode *node, const LoginForm *form, const char *mount,
                      VaultConfig *vault)
{
    put_text(&vault->mount, form->mount ? form->mount : mount);
    put_text(&vault->role, form->role ? form->role : form->name ? form->name : "");
    put_text(&vault->role_id, form->role_id ? form->role_id : "");
    put_text(&vault->audience, form->audience ? form->audience : "vault");
    vault->wrapped = form->wrapped;
    if (vault->login == VAULT_LOGIN_APPROLE)
        return read_secret(loader, form->secret, "secretId", vault);
    if (vault->login == VAULT_LOGIN_JWT || vault->login == VAULT_LOGIN_KUBERNETES)
        return set_jwt_file(loader, form, node, vault);
    return 0;
}

static const YamlField kubernetes_field[] = {
    YAML_FIELD(LoginForm, "role", YAML_AS_TEXT, role, .most = 253, .required = true),
    YAML_FIELD(LoginForm, "mount", YAML_AS_TEXT, mount, .most = 253),
    YAML_FIELD(LoginForm, "audience", YAML_AS_TEXT, audience, .most = 253),
    YAML_FIELD(LoginForm, "tokenFile", YAML_AS_TEXT, token_file),
};

static const YamlField jwt_field[] = {
    YAML_FIELD(LoginForm, "role", YAML_AS_TEXT, role, .most = 253, .required = true),
    YAML_FIELD(LoginForm, "mount", YAML_AS_TEXT, mount, .most = 253),
    YAML_FIELD(LoginForm, "audience", YAML_AS_TEXT, audience, .most = 253),
    YAML_FIELD(LoginForm, "jwt", YAML_AS_NODE, secret, .required = true),
};

static const YamlField approle_field[] = {
    YAML_FIELD(LoginForm, "roleId", YAML_AS_TEXT, role_id, .most = 253, .required = true),
    YAML_FIELD(LoginForm, "secretId", YAML_AS_NODE, secret, .required = true),
    YAML_FIELD(LoginForm, "wrapped", YAML_AS_BOOL, wrapped),
    YAML_FIELD(LoginForm, "mount", YAML_AS_TEXT, mount, .most = 253),
};

static const YamlField cert_field[] = {
    YAML_FIELD(LoginForm, "name", YAML_AS_TEXT, name, .most = 253),
    YAML_FIELD(LoginForm, "mount", YAML_AS_TEXT, mount, .most = 253),
};

typedef struct LoginKind {
    const char *name;
    VaultLogin login;
    const YamlField *field;
    size_t n_field;
} LoginKind;

static const LoginKind login_kind[] = {
    {"kubernetes", VAULT_LOGIN_KUBERNETES, kubernetes_field, COUNT_OF(kubernetes_field)},
    {"jwt", VAULT_LOGIN_JWT, jwt_field, COUNT_OF(jwt_field)},
    {"approle", VAULT_LOGIN_APPROLE, approle_field, COUNT_OF(approle_field)},
    {"cert", VAULT_LOGIN_CERT, cert_field, COUNT_OF(cert_field)},
    {"token", VAULT_LOGIN_TOKEN, NULL, 0},
};

static int read_login(Loader *loader, const YamlNode *node, const LoginKind *kind, VaultConfig *vault)
{
    LoginForm form = {0};
    vault->login = kind->login;
    if (kind->login == VAULT_LOGIN_TOKEN)
        return read_secret(loader, node, "token", vault);
    int r = yaml_read_map(loader->doc, node, kind->name, kind->field, kind->n_field, &form, loader->fault);
    if (!r)
        r = fill_login(loader, node, &form, kind->name, vault);
    char *const text[] = {form.mount, form.role, form.role_id, form.audience, form.token_file, form.name};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    return r;
}

static int parse_login(Loader *loader, const YamlNode *node, VaultConfig *vault)
{
    int r = yaml_want_map(loader->doc, node, "auth", loader->fault);
    const LoginKind *found = NULL;
    for (size_t i = 0; !r && i < COUNT_OF(login_kind); i++)
        if (yaml_get(node, login_kind[i].name))
            found = &login_kind[i];
    if (!r && (!found || node->n_child != 2))
        r = yaml_fault(loader->doc, node, loader->fault,
                       "'auth' names one of kubernetes, jwt, approle, cert and token, as in "
                       "'auth: {kubernetes: {role: purser, tokenFile: /var/run/secrets/tokens/vault}}'");
    return r ? r : read_login(loader, yaml_get(node, found->name), found, vault);
}

typedef struct VaultForm {
    char *address, *space, *ca_file, *cert_file, *key_file, *server_name;
    bool plain_http;
    StoreLife life;
    const YamlNode *auth;
} VaultForm;

static int fill_vault(Loader *loader, const YamlNode *node, const VaultForm *form, VaultConfig *vault)
{
    Fault why = {""};
    vault->configured = true;
    vault->plain_http = form->plain_http;
    vault->life = form->life;
    int r = check_life(loader, node, &form->life);
    if (r)
        return r;
    put_text(&vault->space, form->space ? form->space : "");
    put_text(&vault->ca_file, form->ca_file ? form->ca_file : "");
    put_text(&vault->cert_file, form->cert_file ? form->cert_file : "");
    put_text(&vault->key_file, form->key_file ? form->key_file : "");
    put_text(&vault->server_name, form->server_name ? form->server_name : "");
    path_resolve(loader, &vault->ca_file);
    path_resolve(loader, &vault->cert_file);
    path_resolve(loader, &vault->key_file);
    if (form->address && vault_set_address(vault, form->address, &why))
        return yaml_fault(loader->doc, yaml_get(node, "address"), loader->fault, "%s", why.text);
    if (!vault->cert_file[0] != !vault->key_file[0])
        return yaml_fault(loader->doc, node, loader->fault, "'certFile' and 'keyFile' stand together");
    return form->auth ? parse_login(loader, form->auth, vault) : 0;
}

int parse_vault(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(VaultForm, "address", YAML_AS_TEXT, address),
        YAML_FIELD(VaultForm, "namespace", YAML_AS_TEXT, space, .most = 512),
        YAML_FIELD(VaultForm, "caFile", YAML_AS_TEXT, ca_file),
        YAML_FIELD(VaultForm, "certFile", YAML_AS_TEXT, cert_file),
        YAML_FIELD(VaultForm, "keyFile", YAML_AS_TEXT, key_file),
        YAML_FIELD(VaultForm, "serverName", YAML_AS_TEXT, server_name, .most = 253),
        YAML_FIELD(VaultForm, "allowPlainHttp", YAML_AS_BOOL, plain_http),
        YAML_FIELD(VaultForm, "refresh", YAML_AS_DURATION, life.refresh),
        YAML_FIELD(VaultForm, "maxStale", YAML_AS_DURATION, life.max_stale),
        YAML_FIELD(VaultForm, "spread", YAML_AS_DURATION, life.spread),
        YAML_FIELD(VaultForm, "auth", YAML_AS_NODE, auth),
    };
    VaultForm form = {.life = usual_life};
    if (!node)
        return 0;
    int r = YAML_READ_MAP(loader->doc, node, "vault", field, &form, loader->fault);
    if (!r)
        r = fill_vault(loader, node, &form, &loader->config->vault);
    char *const text[] = {form.address,   form.space,    form.ca_file,
                          form.cert_file, form.key_file, form.server_name};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    return r;
}

typedef struct KubernetesForm {
    char *address, *space, *ca_file, *token_file, *kubeconfig, *context;
    StoreLife life;
} KubernetesForm;

static int fill_kubernetes(Loader *loader, const YamlNode *node, const KubernetesForm *form,
                           KubernetesConfig *kubernetes)
{
    Fault why = {""};
    Origin origin;
    kubernetes->configured = true;
    kubernetes->life = form->life;
    int r = check_life(loader, node, &form->life);
    if (r)
        return r;
    if (form->kubeconfig && (form->address || form->ca_file || form->token_file))
        return yaml_fault(loader->doc, node, loader->fault,
                          "'kubernetes' has either a kubeconfig or address, caFile and tokenFile");
    if (form->address) {
        if (origin_parse(slice_of(form->address), &origin, &why))
            return yaml_fault(loader->doc, yaml_get(node, "address"), loader->fault, "%s", why.text);
        origin_done(&kubernetes->origin);
        kubernetes->origin = origin;
    }
    put_text(&kubernetes->space, form->space ? form->space : "");
    put_text(&kubernetes->ca_file, form->ca_file ? form->ca_file : "");
    put_text(&kubernetes->kubeconfig, form->kubeconfig ? form->kubeconfig : "");
    put_text(&kubernetes->context, form->context ? form->context : "");
    path_resolve(loader, &kubernetes->ca_file);
    path_resolve(loader, &kubernetes->kubeconfig);
    if (form->token_file) {
        kubernetes->token.kind = STORE_FILE;
        put_text(&kubernetes->token.name, form->token_file);
        path_resolve(loader, &kubernetes->token.name);
    }
    return 0;
}

int parse_kubernetes(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(KubernetesForm, "address", YAML_AS_TEXT, address),
        YAML_FIELD(KubernetesForm, "namespace", YAML_AS_TEXT, space, .most = 63),
        YAML_FIELD(KubernetesForm, "caFile", YAML_AS_TEXT, ca_file),
        YAML_FIELD(KubernetesForm, "tokenFile", YAML_AS_TEXT, token_file),
        YAML_FIELD(KubernetesForm, "kubeconfig", YAML_AS_TEXT, kubeconfig),
        YAML_FIELD(KubernetesForm, "context", YAML_AS_TEXT, context, .most = 253),
        YAML_FIELD(KubernetesForm, "refresh", YAML_AS_DURATION, life.refresh),
        YAML_FIELD(KubernetesForm, "maxStale", YAML_AS_DURATION, life.max_stale),
        YAML_FIELD(KubernetesForm, "spread", YAML_AS_DURATION, life.spread),
    };
    KubernetesForm form = {.life = usual_life};
    if (!node)
        return 0;
    int r = YAML_READ_MAP(loader->doc, node, "kubernetes", field, &form, loader->fault);
    if (!r)
        r = fill_kubernetes(loader, node, &form, &loader->config->kubernetes);
    char *const text[] = {form.address,    form.space,      form.ca_file,
                          form.token_file, form.kubeconfig, form.context};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    return r;
}
