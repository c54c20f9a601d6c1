/* The parts of the configuration's reader, one file each. Only src/config uses this. Each function returns 0,
 * or -EINVAL with a sentence that names the place. */
#pragma once

#include "config/config.h"
#include "yaml/field.h"

typedef struct Loader {
    const ConfigPaths *paths;
    const YamlDoc *doc;
    Config *config;
    char *schedule; /* top-level defaults; "" for none */
    char *time_zone;
    Fault *fault;
} Loader;

/* parse-source.c */
int parse_sources(Loader *loader, const YamlNode *list) MUST_USE;
/* parse-retriever.c */
int parse_retrievers(Loader *loader, const YamlNode *list) MUST_USE;
int check_schedule(Loader *loader, const YamlNode *node, char *schedule) MUST_USE;
int check_time_zone(Loader *loader, const YamlNode *node, const char *time_zone) MUST_USE;
/* parse-env.c: before parse_grants, since a Secret that `env` names is a source that the retriever may use */
int parse_env(Loader *loader, const YamlNode *list, const YamlNode *sources, Retriever *retriever) MUST_USE;
int check_env_name(Loader *loader, const YamlNode *node, const char *name) MUST_USE;
/* parse-grant.c */
int parse_grants(Loader *loader, const YamlNode *retriever_node, const YamlNode *sources,
                 const YamlNode *policy, Retriever *retriever) MUST_USE;
/* parse-hosts.c: `reference` as a provider has it, once the API's own place is known */
int place_graphql(Source *source, const char *reference, Fault *fault) MUST_USE;
bool is_artifact_host(const char *text); /* a host name, or "*.suffix" */
int place_artifacts(Source *source, char *const *host, size_t n, Fault *fault) MUST_USE;
int parse_rule_hosts(Loader *loader) MUST_USE; /* after the retrievers: their policies' rules name hosts */
int check_egress(Loader *loader, const YamlNode *retrievers) MUST_USE; /* after all hosts are known */
/* parse-policy.c: what a retriever says of its policy for this source, and that what stands beside `policy`
 * is about one source */
int parse_policy(Loader *loader, const YamlNode *retriever_node, const YamlNode *policy, const Source *source,
                 GrantRef *grant) MUST_USE;
int check_apart(Loader *loader, const YamlNode *retriever_node, const YamlNode *policy,
                const Retriever *retriever) MUST_USE;
/* parse-grant.c */
int parse_egress(Loader *loader, const YamlNode *list, Retriever *retriever) MUST_USE;
/* parse-token.c: `token:` of a source, `credentialFrom:` of the sink */
int parse_token(Loader *loader, const YamlNode *node, const char *key, const char *owner,
                TokenRef *token) MUST_USE;
/* parse-mint.c: a token that is minted; `finish` once its source's API is known */
int parse_mint(Loader *loader, const YamlNode *node, StoreKind kind, TokenRef *token) MUST_USE;
/* Of a GitHub App: as the JSON that GitHub takes; -ENOBUFS. */
int put_permissions(Mint *mint, const PolicyPermissions *permissions) MUST_USE;
int narrow_minted(Loader *loader) MUST_USE; /* after the retrievers: by what their policies need */
int finish_mint(Loader *loader, const YamlNode *node, Source *source) MUST_USE;
/* parse-rotate.c: `rotate:` of a source whose token and provider are known */
int parse_rotate(Loader *loader, const YamlNode *node, Source *source) MUST_USE;
/* parse-store.c: `vault:`, `kubernetes:`; NULL nodes leave the defaults */
void stores_default(Config *config);
int parse_vault(Loader *loader, const YamlNode *node) MUST_USE;
int parse_kubernetes(Loader *loader, const YamlNode *node) MUST_USE;
/* parse-auth.c; doc: of purser.yaml, or a provider's */
int parse_auth(const YamlDoc *doc, const YamlNode *node, Auth *auth, Fault *fault) MUST_USE;
/* parse-rest.c; NULL nodes leave the defaults */
int parse_sink(Loader *loader, const YamlNode *node) MUST_USE;
int parse_site(Loader *loader, const YamlNode *node) MUST_USE;
int parse_retain(Loader *loader, const YamlNode *node) MUST_USE;
int parse_keyring(Loader *loader, const YamlNode *node) MUST_USE;
int parse_sandbox(Loader *loader, const YamlNode *node) MUST_USE;
int parse_audit(Loader *loader, const YamlNode *node) MUST_USE;
/* dsn.c: whether a libpq connection string holds a password */
bool dsn_has_password(const char *dsn);
/* chart-values.c: leaves of the chart's values (a mapping) what purser.yaml has too, tokens in the keyring */
int chart_values_reduce(YamlDoc *doc, Fault *fault) MUST_USE;
/* loader.c: a relative path becomes absolute, against the folder of purser.yaml */
void path_resolve(const Loader *loader, char **path);
/* loader.c: a sentence for config->note */
void add_note(Loader *loader, const char *fmt, ...) FORMAT(2, 3);
/* loader.c: replaces what is there, "" included. */
void put_text(char **at, const char *text);
