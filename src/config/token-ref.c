/* Which token in which store, and where the stores are: the life of such values, for roles that link no more
 * of the configuration. See config.h. */
#include "config/config.h"

#include "base/mem.h"

static Mint *mint_free(Mint *mint)
{
    if (!mint)
        return NULL;
    mem_free(mint->url);
    mem_free(mint->id);
    mem_free(mint->account);
    mem_free(mint->scope);
    mem_free(mint->ca_file);
    mem_free(mint->connect_to);
    mem_free_strings(mint->list, mint->n_list);
    token_ref_done(&mint->secret);
    mem_free(mint);
    return NULL;
}

static Mint *mint_dup(const Mint *from)
{
    Mint *mint = MEM_NEW(Mint);
    *mint = (Mint){.url = mem_strdup(from->url),
                   .id = mem_strdup(from->id),
                   .account = mem_strdup(from->account),
                   .scope = mem_strdup(from->scope),
                   .ca_file = mem_strdup(from->ca_file),
                   .connect_to = mem_strdup(from->connect_to),
                   .assertion = from->assertion,
                   .life = from->life,
                   .secret = token_ref_dup(&from->secret)};
    for (size_t i = 0; i < from->n_list; i++)
        MEM_PUSH(mint->list, mint->n_list, mem_strdup(from->list[i]));
    return mint;
}

static bool mint_equal(const Mint *a, const Mint *b)
{
    if (!a || !b)
        return a == b;
    bool same = strcmp(a->url, b->url) == 0 && strcmp(a->id, b->id) == 0 &&
                strcmp(a->account, b->account) == 0 && strcmp(a->scope, b->scope) == 0 &&
                strcmp(a->ca_file, b->ca_file) == 0 && strcmp(a->connect_to, b->connect_to) == 0 &&
                a->assertion == b->assertion && a->life == b->life && a->n_list == b->n_list &&
                token_ref_equal(&a->secret, &b->secret);
    for (size_t i = 0; same && i < a->n_list; i++)
        same = strcmp(a->list[i], b->list[i]) == 0;
    return same;
}

TokenRef token_ref_new(void)
{
    return (TokenRef){.name = mem_strdup(""), .key = mem_strdup(""), .space = mem_strdup("")};
}

TokenRef token_ref_dup(const TokenRef *ref)
{
    TokenRef copy = *ref;
    copy.name = mem_strdup(ref->name);
    copy.key = mem_strdup(ref->key);
    copy.space = mem_strdup(ref->space);
    copy.mint = ref->mint ? mint_dup(ref->mint) : NULL;
    return copy;
}

bool token_ref_equal(const TokenRef *a, const TokenRef *b)
{
    return a->kind == b->kind && strcmp(a->name, b->name) == 0 && strcmp(a->key, b->key) == 0 &&
           strcmp(a->space, b->space) == 0 && a->version == b->version && a->wrap == b->wrap &&
           mint_equal(a->mint, b->mint);
}

void token_ref_done(TokenRef *ref)
{
    mem_free(ref->name);
    mem_free(ref->key);
    mem_free(ref->space);
    mint_free(ref->mint);
    *ref = (TokenRef){0};
}

void vault_config_done(VaultConfig *vault)
{
    char *const text[] = {vault->address,  vault->space,       vault->ca_file, vault->cert_file,
                          vault->key_file, vault->server_name, vault->mount,   vault->role,
                          vault->role_id,  vault->audience};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    origin_done(&vault->origin);
    token_ref_done(&vault->secret);
    mem_free_strings(vault->shown, vault->n_shown);
}

void kubernetes_config_done(KubernetesConfig *kubernetes)
{
    char *const text[] = {kubernetes->space,    kubernetes->ca_file,     kubernetes->cert_file,
                          kubernetes->key_file, kubernetes->server_name, kubernetes->kubeconfig,
                          kubernetes->context};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    origin_done(&kubernetes->origin);
    token_ref_done(&kubernetes->token);
}
