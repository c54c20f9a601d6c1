/* What a GitHub App's tokens are asked to be allowed. Where `githubApp:` does not say it, no more than the
 * policies of all that use the source need, and for no repositories but those that they name by their
 * parameter `repo`. See parse.h. */
#include "config/parse.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>

#define REPOSITORY "repo" /* the parameter of the provider's policies */

typedef struct Needed {
    PolicyPermissions permissions;
    char **repository;
    size_t n_repository, n_grant;
    bool any_permission, any_repository; /* a policy does not say: all that the App has */
} Needed;

int put_permissions(Mint *mint, const PolicyPermissions *permissions)
{
    CLEANUP_BUF Buf text = BUF_INIT(4000);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    for (size_t i = 0; i < permissions->n; i++)
        json_text(&json, permissions->list[i].name, permissions->list[i].write ? "write" : "read");
    json_object_end(&json);
    if (json_finish(&json))
        return -ENOBUFS;
    put_text(&mint->scope, buf_text(&text));
    return 0;
}

static void add_repository(Needed *needed, const char *name)
{
    for (size_t i = 0; i < needed->n_repository; i++)
        if (strcmp(needed->repository[i], name) == 0)
            return;
    MEM_PUSH(needed->repository, needed->n_repository, mem_strdup(name));
}

/* Those that the grant names; else the parameter's default, if that is one. */
static void add_repositories(Needed *needed, const Policy *policy)
{
    const char *fallback = NULL;
    size_t n = 0;
    for (size_t i = 0; i < policy->n_parameter; i++)
        if (strcmp(policy->parameter[i].name, REPOSITORY) == 0)
            fallback = policy->parameter[i].value;
    for (size_t i = 0; i < policy->with.n; i++) {
        if (strcmp(policy->with.name[i], REPOSITORY) != 0)
            continue;
        add_repository(needed, policy->with.value[i]);
        n++;
    }
    if (n == 0 && fallback && strcmp(fallback, POLICY_ANY) != 0)
        add_repository(needed, fallback);
    else if (n == 0)
        needed->any_repository = true;
}

static void add_grants(Needed *needed, const Config *config, const Retriever *retriever, uint32_t source)
{
    for (size_t i = 0; i < retriever->n_grant; i++) {
        if (retriever->grant[i].source != source)
            continue;
        const Policy *policy = config->policy[retriever->grant[i].policy];
        bool watched = retriever->grant[i].audit_until != 0; /* it may do more than its rules say */
        needed->n_grant++;
        needed->any_permission |= watched || policy->permissions.n == 0;
        needed->any_repository |= watched;
        policy_permissions_add(&needed->permissions, &policy->permissions);
        add_repositories(needed, policy);
    }
}

int narrow_minted(Loader *loader)
{
    Config *config = loader->config;
    int r = 0;
    for (uint32_t i = 0; i < config->n_source && r == 0; i++) {
        Mint *mint = config->source[i].token.kind == STORE_GITHUB_APP ? config->source[i].token.mint : NULL;
        if (!mint)
            continue;
        Needed needed = {0};
        for (size_t k = 0; k < config->n_retriever; k++)
            add_grants(&needed, config, &config->retriever[k], i);
        if (!mint->scope[0] && needed.n_grant && !needed.any_permission)
            r = put_permissions(mint, &needed.permissions);
        if (mint->n_list == 0 && needed.n_grant && !needed.any_repository) {
            mint->list = STEAL(needed.repository);
            mint->n_list = needed.n_repository;
            needed.n_repository = 0;
        }
        policy_permissions_done(&needed.permissions);
        mem_free_strings(needed.repository, needed.n_repository);
    }
    return r ? fault_set(loader->fault, r, "the permissions that these policies need are too long a list")
             : 0;
}
