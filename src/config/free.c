/* The end of a configuration's life, and finding things in one. See config.h. */
#include "config/config.h"

#include "base/mem.h"

static void rotation_texts(Rotation *rotation, char **out[static ROTATION_TEXTS])
{
    char **const text[ROTATION_TEXTS] = {
        &rotation->account,       &rotation->identity,    &rotation->scopes, &rotation->scopes_header,
        &rotation->expires,       &rotation->retire,      &rotation->renew,  &rotation->renew_token,
        &rotation->renew_expires, &rotation->renew_scopes};
    memcpy(out, text, sizeof(text));
}

void rotation_init(Rotation *rotation)
{
    char **text[ROTATION_TEXTS];
    rotation_texts(rotation, text);
    for (size_t i = 0; i < ROTATION_TEXTS; i++)
        *text[i] = mem_strdup("");
}

void rotation_copy(Rotation *to, const Rotation *from)
{
    char **text[ROTATION_TEXTS], **other[ROTATION_TEXTS];
    Rotation copy = *from;
    rotation_texts(to, text);
    rotation_texts(&copy, other);
    for (size_t i = 0; i < ROTATION_TEXTS; i++) {
        mem_free(*text[i]);
        *text[i] = mem_strdup(*other[i]);
    }
    to->renew_overlaps = from->renew_overlaps;
}

void rotation_done(Rotation *rotation)
{
    char **text[ROTATION_TEXTS];
    rotation_texts(rotation, text);
    for (size_t i = 0; i < ROTATION_TEXTS; i++)
        mem_free(*text[i]);
}

static void plan_free(RotatePlan *plan)
{
    mem_free(plan->schedule);
    mem_free(plan->time_zone);
    mem_free_strings(plan->command, plan->n_command);
    mem_free(plan->path);
    mem_free(plan->vault_token);
}

static void source_free(Source *source)
{
    mem_free(source->name);
    mem_free(source->provider);
    origin_done(&source->api);
    for (size_t i = 0; i < source->n_other; i++)
        origin_done(&source->other[i].origin);
    mem_free(source->other);
    mem_free(source->graphql_path);
    mem_free(source->auth.user);
    mem_free(source->auth.header);
    token_ref_done(&source->token);
    mem_free_strings(source->token_env, source->n_token_env);
    mem_free_strings(source->base_env, source->n_base_env);
    mem_free(source->connect_to);
    mem_free(source->ca_file);
    mem_free(source->allow_private);
    mem_free(source->policy);
    mem_free(source->probe);
    rotation_done(&source->rotation);
    plan_free(&source->plan);
}

static void retriever_free(Retriever *retriever)
{
    mem_free(retriever->name);
    mem_free(retriever->schedule);
    mem_free(retriever->time_zone);
    mem_free(retriever->script);
    mem_free(retriever->script_path);
    mem_free(retriever->requirements);
    mem_free_strings(retriever->command, retriever->n_command);
    for (size_t i = 0; i < retriever->n_env; i++) {
        mem_free(retriever->env[i].name);
        mem_free(retriever->env[i].value);
    }
    mem_free(retriever->env);
    mem_free(retriever->grant);
    for (size_t i = 0; i < retriever->n_egress; i++)
        mem_free(retriever->egress[i].host);
    mem_free(retriever->egress);
}

static void settings_free(Config *config)
{
    vault_config_done(&config->vault);
    kubernetes_config_done(&config->kubernetes);
    mem_free(config->sink.path);
    mem_free(config->sink.dsn);
    token_ref_done(&config->sink.credential);
    mem_free(config->sink.owner_role);
    mem_free(config->sink.reader_role);
    mem_free(config->site.proxy);
    mem_free_strings(config->site.no_proxy, config->site.n_no_proxy);
    mem_free(config->site.ca_file);
    mem_free(config->site.package_index);
    mem_free(config->keyring.path);
    mem_free(config->keyring.key_file);
    mem_free(config->audit_key_file);
}

Config *config_free(Config *config)
{
    if (!config)
        return NULL;
    for (size_t i = 0; i < config->n_source; i++)
        source_free(&config->source[i]);
    for (size_t i = 0; i < config->n_retriever; i++)
        retriever_free(&config->retriever[i]);
    for (size_t i = 0; i < config->n_policy; i++)
        policy_free(config->policy[i]);
    for (size_t i = 0; i < config->n_form; i++)
        policy_free(config->form[i]);
    settings_free(config);
    mem_free(config->source);
    mem_free(config->retriever);
    mem_free(config->policy);
    mem_free(config->form);
    mem_free_strings(config->note, config->n_note);
    mem_free(config->path);
    mem_free(config->directory);
    mem_free(config->state);
    mem_free(config);
    return NULL;
}

int32_t config_find_source(const Config *config, const char *name)
{
    for (size_t i = 0; i < config->n_source; i++)
        if (strcmp(config->source[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

int32_t config_find_retriever(const Config *config, const char *name)
{
    for (size_t i = 0; i < config->n_retriever; i++)
        if (strcmp(config->retriever[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}
