/* How tokens stand, as text and as JSON. See token-state.h. */
#include "supervisor/token-state.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/node.h"

#include <errno.h>
#include <stdio.h>

#define FILE_NAME "tokens.json"
#define MAX_FILE  (1u << 20)

static void json_source(const Source *source, const KeeperFound *found, JsonWriter *json)
{
    const KeeperToken *token = &found->token;
    json_object_begin(json, NULL);
    json_text(json, "source", source->name);
    json_bool(json, "known", found->known);
    json_bool(json, "found", token->found);
    json_text(json, "message", token->sentence);
    json_text(json, "store", token->store);
    json_text(json, "version", token->version);
    json_time(json, "fetched", token->fetched);
    json_time(json, "expires", token->expires);
    json_u64(json, "renewed", token->renewed);
    json_u64(json, "calls", token->calls);
    json_object_end(json);
}

void token_state_json(const Config *config, const KeeperFound *found, JsonWriter *json)
{
    json_object_begin(json, NULL);
    json_array_begin(json, "sources");
    for (size_t i = 0; i < config->n_source; i++)
        json_source(&config->source[i], &found[i], json);
    json_array_end(json);
    json_object_end(json);
}

void token_state_write(const State *state, const Config *config, const KeeperLink *keeper)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_FILE);
    JsonWriter json = JSON_WRITER(&text);
    token_state_json(config, keeper->found, &json);
    int r = json_finish(&json);
    r = r ? r : state_write(state->fd, FILE_NAME, buf_slice(&text), 0600);
    if (r)
        log_warning("Cannot write %s/" FILE_NAME ": %s.", state->path, strerror(-r));
}

static KeeperFound read_source(const YamlNode *node)
{
    KeeperFound found = {.known = node_flag(node, "known")};
    KeeperToken *token = &found.token;
    token->found = node_flag(node, "found");
    snprintf(token->sentence, sizeof(token->sentence), "%s", node_text(node, "message"));
    snprintf(token->store, sizeof(token->store), "%s", node_text(node, "store"));
    snprintf(token->version, sizeof(token->version), "%s", node_text(node, "version"));
    token->fetched = node_time(node, "fetched");
    token->expires = node_time(node, "expires");
    token->renewed = (uint32_t)node_number(node, "renewed");
    token->calls = node_number(node, "calls");
    return found;
}

int token_state_read(const State *state, const Config *config, KeeperFound *ret_found)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_FILE);
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = io_read_file(state->fd, FILE_NAME, &text);
    r = r ? r : yaml_doc_read(FILE_NAME, buf_slice(&text), MAX_FILE, &doc, NULL);
    const YamlNode *list =
        r || !doc->root || doc->root->kind != YAML_MAP ? NULL : yaml_get(doc->root, "sources");
    if (!list || list->kind != YAML_LIST)
        return r ? r : -EINVAL;
    for (size_t i = 0; i < list->n_child; i++) {
        int32_t index = list->child[i]->kind == YAML_MAP
                            ? config_find_source(config, node_text(list->child[i], "source"))
                            : -1;
        if (index >= 0)
            ret_found[index] = read_source(list->child[i]);
    }
    return 0;
}

void token_state_print(const Config *config, const KeeperFound *found)
{
    printf("%-24s %-12s %-10s %-21s %-21s %7s %6s\n", "SOURCE", "STORE", "VERSION", "FETCHED", "EXPIRES",
           "RENEWED", "CALLS");
    for (size_t i = 0; i < config->n_source; i++) {
        const KeeperToken *token = &found[i].token;
        char fetched[CLOCK_TEXT] = "-", expires[CLOCK_TEXT] = "never";
        if (token->fetched)
            clock_format(fetched, token->fetched - token->fetched % CLOCK_SECOND);
        if (token->expires)
            clock_format(expires, token->expires - token->expires % CLOCK_SECOND);
        printf("%-24s %-12s %-10s %-21s %-21s %7u %6llu\n", config->source[i].name,
               token->store[0] ? token->store : "-", token->version[0] ? token->version : "-", fetched,
               token->found ? expires : "-", token->renewed, (unsigned long long)token->calls);
        if (found[i].known && !token->found)
            printf("    %s\n", token->sentence);
    }
}
