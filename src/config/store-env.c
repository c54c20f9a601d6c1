/* What the environment says of stores, where purser.yaml is silent: VAULT_ADDR and friends, as Vault's own
 * tools have them, and what Kubernetes tells a pod. Secrets are not taken from there: an environment can be
 * read for as long as its process lives. See config.h. */
#include "config/config.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>

#define POD           "/var/run/secrets/kubernetes.io/serviceaccount"
#define POD_SPREAD_US 5000000u

int vault_set_address(VaultConfig *vault, const char *address, Fault *fault)
{
    Origin origin;
    Fault why = {""};
    if (origin_parse_store(slice_of(address), vault->plain_http, &origin, &why)) {
        if (strncmp(address, "http://", 7) == 0 && strstr(why.text, "plain http"))
            return fault_set(
                fault, -EINVAL,
                "Vault's address is plain http and not on this machine: everyone on the way would "
                "read the tokens. Say https, or 'allowPlainHttp: true' in so many words");
        return fault_set(fault, -EINVAL, "Vault's address: %s", why.text);
    }
    origin_done(&vault->origin);
    vault->origin = origin;
    mem_free(vault->address);
    vault->address = mem_strdup(address);
    return 0;
}

static void note(VaultConfig *vault, char *sentence)
{
    MEM_PUSH(vault->shown, vault->n_shown, sentence);
}

/* A variable whose value goes where the file has said nothing. */
static void take_text(VaultConfig *vault, ConfigEnv *get, const char *name, char **at)
{
    const char *value = get(name);
    if (!value || !*value)
        return;
    if (**at) {
        note(vault, mem_printf("%s is not used: purser.yaml says %s", name, *at));
        return;
    }
    mem_free(*at);
    *at = mem_strdup(value);
    note(vault, mem_printf("%s: %s", name, value));
}

static int take_address(VaultConfig *vault, ConfigEnv *get, Fault *fault)
{
    const char *name = get("BAO_ADDR") ? "BAO_ADDR" : "VAULT_ADDR", *value = get(name);
    if (!value || !*value)
        return 0;
    if (vault->origin.host[0]) {
        note(vault, mem_printf("%s is not used: purser.yaml says %s", name, vault->address));
        return 0;
    }
    int r = vault_set_address(vault, value, fault);
    if (r)
        return fault_prefix(fault, r, "%s", name);
    note(vault, mem_printf("%s: %s", name, value));
    return 0;
}

static int refuse_unverified(ConfigEnv *get, Fault *fault)
{
    const char *skip = get("VAULT_SKIP_VERIFY");
    if (!skip || !*skip || strcmp(skip, "0") == 0 || strcasecmp(skip, "false") == 0)
        return 0;
    return fault_set(fault, -EINVAL,
                     "VAULT_SKIP_VERIFY is set, but purser never sends a token to a server that it has not "
                     "verified: unset it, and name the CA by VAULT_CACERT or `vault: {caFile: ...}`");
}

static int take_vault(Config *config, ConfigEnv *get, Fault *fault)
{
    VaultConfig *vault = &config->vault;
    int r = refuse_unverified(get, fault);
    if (!r)
        r = take_address(vault, get, fault);
    if (r)
        return r;
    take_text(vault, get, "VAULT_NAMESPACE", &vault->space);
    take_text(vault, get, "VAULT_CACERT", &vault->ca_file);
    if (get("VAULT_CAPATH") && !vault->ca_file[0])
        return fault_set(
            fault, -EINVAL,
            "VAULT_CAPATH names a folder of CAs, and the keeper reads no folders: put them into one "
            "file, and name that by VAULT_CACERT or `vault: {caFile: ...}`");
    take_text(vault, get, "VAULT_CLIENT_CERT", &vault->cert_file);
    take_text(vault, get, "VAULT_CLIENT_KEY", &vault->key_file);
    take_text(vault, get, "VAULT_TLS_SERVER_NAME", &vault->server_name);
    if (get("VAULT_TOKEN"))
        note(vault,
             mem_strdup("VAULT_TOKEN is not used: an environment is no place for a secret. Put it into "
                        "the keyring (purser token set vault) and say `vault: {auth: {token: {keyring: "
                        "vault}}}`"));
    if (!vault->origin.host[0])
        return fault_set(
            fault, -EINVAL,
            "a token is in Vault, but nothing says where Vault is: `vault: {address: https://...}` "
            "or VAULT_ADDR");
    if (vault->login == VAULT_LOGIN_NONE)
        return fault_set(fault, -EINVAL,
                         "a token is in Vault, but nothing says how to log in: `vault: {auth: {kubernetes: "
                         "{...}}}`, or jwt, approle, cert, token");
    if (vault->login == VAULT_LOGIN_CERT && !vault->cert_file[0])
        return fault_set(fault, -EINVAL,
                         "Vault's login by certificate needs `vault: {certFile: ..., keyFile: ...}`, or "
                         "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY");
    return 0;
}

static char *pod_namespace(ConfigEnv *get)
{
    CLEANUP_BUF Buf text = BUF_INIT(256);
    const char *said = get("POD_NAMESPACE");
    if (said && *said)
        return mem_strdup(said);
    if (io_read_file(AT_FDCWD, POD "/namespace", &text) || text.len == 0)
        return mem_strdup("");
    Slice whole = slice_trim(buf_slice(&text));
    while (whole.len && whole.ptr[whole.len - 1] == '\n')
        whole.len--;
    return mem_dup(whole.ptr, whole.len);
}

static void default_text(char **at, const char *text)
{
    if (**at)
        return;
    mem_free(*at);
    *at = mem_strdup(text);
}

static int take_pod(Config *config, ConfigEnv *get, Fault *fault)
{
    KubernetesConfig *kubernetes = &config->kubernetes;
    const char *host = get("KUBERNETES_SERVICE_HOST"), *port = get("KUBERNETES_SERVICE_PORT");
    if (kubernetes->kubeconfig[0])
        return 0;
    if (!kubernetes->origin.host[0] && host && *host) {
        CLEANUP_MEM char *url =
            mem_printf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port ? port : "443");
        Origin origin;
        if (origin_parse(slice_of(url), &origin, fault))
            return fault_prefix(fault, -EINVAL, "KUBERNETES_SERVICE_HOST");
        origin_done(&kubernetes->origin);
        kubernetes->origin = origin;
    }
    if (!kubernetes->origin.host[0])
        return fault_set(fault, -EINVAL,
                         "a token is in a Kubernetes Secret, but this is no pod: name a kubeconfig, "
                         "`kubernetes: {kubeconfig: ~/.kube/config}`");
    default_text(&kubernetes->ca_file, POD "/ca.crt");
    if (kubernetes->token.kind == STORE_NONE && !kubernetes->cert_file[0]) {
        kubernetes->token.kind = STORE_FILE;
        default_text(&kubernetes->token.name, POD "/token");
    }
    if (!kubernetes->space[0]) {
        mem_free(kubernetes->space);
        kubernetes->space = pod_namespace(get);
    }
    return 0;
}

static bool needs(const TokenRef *ref, StoreKind kind)
{
    return ref->kind == kind || (ref->mint && ref->mint->secret.kind == kind) ||
           (kind == STORE_KUBERNETES && ref->kind == STORE_TOKEN_REQUEST);
}

bool config_needs_store(const Config *config, StoreKind kind)
{
    bool needed = needs(&config->sink.credential, kind);
    for (size_t i = 0; i < config->n_source && !needed; i++)
        needed = needs(&config->source[i].token, kind);
    if (!needed && kind == STORE_KUBERNETES && config_needs_store(config, STORE_VAULT))
        needed = config->vault.secret.kind == STORE_KUBERNETES;
    return needed;
}

int config_take_environment(Config *config, ConfigEnv *get, Fault *fault)
{
    int r = 0;
    if (config_needs_store(config, STORE_VAULT))
        r = take_vault(config, get, fault);
    if (!r && config_needs_store(config, STORE_KUBERNETES))
        r = take_pod(config, get, fault);
    if (get("KUBERNETES_SERVICE_HOST")) { /* many like this one begin at the same full minute */
        StoreLife *const life[] = {&config->vault.life, &config->kubernetes.life};
        for (size_t i = 0; i < COUNT_OF(life); i++)
            if (life[i]->spread == SPREAD_UNSAID)
                life[i]->spread = POD_SPREAD_US;
    }
    return r;
}
