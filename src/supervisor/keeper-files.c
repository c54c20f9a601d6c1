/* Which files the keeper is handed. See keeper-files.h. */
#include "supervisor/keeper-files.h"

#include "base/mem.h"

typedef struct Files {
    char **file;
    size_t n;
} Files;

static void add(Files *files, const char *path)
{
    if (!*path)
        return;
    for (size_t i = 0; i < files->n; i++)
        if (strcmp(files->file[i], path) == 0)
            return;
    MEM_PUSH(files->file, files->n, mem_strdup(path));
}

static void add_ref(Files *files, const TokenRef *ref)
{
    if (ref->kind == STORE_FILE)
        add(files, ref->name);
    if (ref->mint) {
        add(files, ref->mint->ca_file);
        add_ref(files, &ref->mint->secret);
    }
}

bool keeper_needs_keyring(const Config *config, const bool *used)
{
    for (size_t i = 0; i < config->n_source; i++)
        if (used[i] &&
            (config->source[i].token.kind == STORE_KEYRING ||
             (config->source[i].token.mint && config->source[i].token.mint->secret.kind == STORE_KEYRING)))
            return true;
    return config->sink.credential.kind == STORE_KEYRING ||
           (config_needs_store(config, STORE_VAULT) && config->vault.secret.kind == STORE_KEYRING);
}

void keeper_files_collect(const Config *config, const bool *used, char ***ret_file, size_t *ret_n)
{
    Files files = {0};
    const VaultConfig *vault = &config->vault;
    const KubernetesConfig *kubernetes = &config->kubernetes;
    for (size_t i = 0; i < config->n_source; i++)
        if (used[i])
            add_ref(&files, &config->source[i].token);
    add_ref(&files, &config->sink.credential);
    if (keeper_needs_keyring(config, used)) {
        add(&files, config->keyring.path);
        if (!config->keyring.passphrase) /* it may be replaced: purser token rekey */
            add(&files, config->keyring.key_file);
    }
    if (config_needs_store(config, STORE_VAULT)) {
        add_ref(&files, &vault->secret);
        add(&files, vault->ca_file);
        add(&files, vault->cert_file);
        add(&files, vault->key_file);
    }
    if (config_needs_store(config, STORE_KUBERNETES)) {
        add_ref(&files, &kubernetes->token);
        add(&files, kubernetes->ca_file);
        add(&files, kubernetes->cert_file);
        add(&files, kubernetes->key_file);
    }
    *ret_file = files.file;
    *ret_n = files.n;
}
