/* How old tokens are. See token-age.h. */
#include "purser/token-age.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/next-run.h"
#include "rotate/journal.h"
#include "supervisor/audit-files.h"
#include "supervisor/node.h"
#include "supervisor/token-state.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static int64_t last_set(const char *source, const RunReport *list, size_t n)
{
    int64_t set = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_source; k++)
            if (strcmp(list[i].source_name[k], source) == 0 && list[i].source[k].token_set > set)
                set = list[i].source[k].token_set;
    return set;
}

static void read_journal(const State *state, const char *source, const unsigned char *key, TokenAge *age)
{
    CLEANUP_BUF Buf text = BUF_INIT(JOURNAL_MAX);
    CLEANUP_MEM char *path = mem_printf("rotate/%s.journal", source);
    JournalEnd end;
    int r = io_read_file(state->fd, path, &text);
    if (r == -ENOENT)
        return;
    r = r ? r : key ? journal_read(source, buf_slice(&text), key, NULL, NULL, &end, NULL) : -ENOKEY;
    age->unreadable = r != 0;
    if (r)
        return;
    age->begun = end.open ? end.begun : 0;
    age->revoking = end.open && end.revoking;
    age->rotated = end.open || end.revoked || !end.number ? 0 : end.time;
    age->revoked = age->set > end.revoked ? 0 : end.revoked;
}

/* What purser-rotate has kept of the provider's word (rotate/known.h); of a token before, it says nothing. */
static void read_known(const State *state, const char *source, TokenAge *age)
{
    CLEANUP_BUF Buf text = BUF_INIT(8192);
    CLEANUP_MEM char *path = mem_printf("rotate/%s.json", source);
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = io_read_file(state->fd, path, &text);
    r = r ? r : yaml_doc_read(path, buf_slice(&text), 8192, &doc, NULL);
    if (r || !doc->root || doc->root->kind != YAML_MAP || node_time(doc->root, "asked") < age->set)
        return;
    age->expires = node_time(doc->root, "expires");
}

/* What the purser that runs here has told last, or the one that did: the token that it was given after a
 * revocation is another one. */
static void take_found(const KeeperFound *found, bool runs, TokenAge *age)
{
    if (found->known && found->token.found && found->token.fetched > age->revoked)
        age->revoked = 0;
    if (runs && found->known && !found->token.found)
        snprintf(age->missing, sizeof(age->missing), "%.500s", found->token.sentence);
}

static void read_found(const State *state, const Config *config, TokenAge *age)
{
    CLEANUP_MEM KeeperFound *found = MEM_NEW_ARRAY(KeeperFound, config->n_source ? config->n_source : 1);
    bool runs = state_is_used(state);
    if (token_state_read(state, config, found))
        return;
    for (size_t i = 0; i < config->n_source; i++)
        take_found(&found[i], runs, &age[i]);
}

TokenAge *token_ages(const State *state, const Config *config, const RunReport *list, size_t n)
{
    unsigned char key[AUDIT_KEY];
    TokenAge *age = MEM_NEW_ARRAY(TokenAge, config->n_source ? config->n_source : 1);
    Fault fault;
    bool has_key = audit_files_key(state, key, &fault) == 0;
    for (size_t i = 0; i < config->n_source; i++) {
        age[i].set = last_set(config->source[i].name, list, n);
        age[i].next = next_rotation(&config->source[i], clock_wall());
        read_journal(state, config->source[i].name, has_key ? key : NULL, &age[i]);
        read_known(state, config->source[i].name, &age[i]);
    }
    sodium_memzero(key, sizeof(key));
    read_found(state, config, age);
    return age;
}

void token_ages_json(const Config *config, const TokenAge *age, JsonWriter *json, const char *key)
{
    json_array_begin(json, key);
    for (size_t i = 0; i < config->n_source; i++) {
        json_object_begin(json, NULL);
        json_text(json, "source", config->source[i].name);
        json_time(json, "set", age[i].set);
        json_time(json, "rotated", age[i].rotated);
        json_time(json, "underWaySince", age[i].begun);
        json_bool(json, "revoking", age[i].revoking);
        json_time(json, "revoked", age[i].revoked);
        json_text(json, "missing", age[i].missing[0] ? age[i].missing : NULL);
        json_time(json, "expires", age[i].expires);
        json_time(json, "nextRotation", age[i].next);
        json_object_end(json);
    }
    json_array_end(json);
}

static void print_ago(const char *what, int64_t at)
{
    char age[24], time[CLOCK_TEXT];
    int64_t now = clock_wall();
    if (at)
        printf("%s %s (%s ago)", what, clock_format(time, at - at % CLOCK_SECOND),
               text_human_duration(age, now > at ? (uint64_t)(now - at) : 0));
}

/* Of one line each, below the token's own. */
static void print_end(const char *source, const TokenAge *age)
{
    char time[CLOCK_TEXT], left[24];
    int64_t now = clock_wall();
    if (age->next)
        printf("    Next rotation (of `purser schedule`): %s.\n", clock_format(time, age->next));
    if (!age->expires)
        return;
    clock_format(time, age->expires);
    if (age->expires <= now)
        printf("    WARNING: it has expired, at %s: put a new one there with `purser token set %s`.\n", time,
               source);
    else if (age->expires - now < TOKEN_AGE_WARN)
        printf("    WARNING: it expires in %s, at %s: `purser rotate %s`.\n",
               text_human_duration(left, (uint64_t)(age->expires - now)), time, source);
    else
        printf("    It expires at %s.\n", time);
}

static void print_missing(const char *source, const TokenAge *age)
{
    if (age->revoked) {
        print_ago("    It was revoked", age->revoked);
        printf(": its runs are refused until `purser token set %s`, or its store, gives it another.\n",
               source);
    } else if (age->missing[0]) {
        printf("    Its runs are refused: %s.\n", age->missing);
    }
}

void token_ages_print(const Config *config, const TokenAge *age)
{
    printf("\nTokens:\n");
    for (size_t i = 0; i < config->n_source; i++) {
        const char *name = config->source[i].name;
        printf("  %-18s ", name);
        print_ago("set", age[i].set);
        print_ago(age[i].set ? "; last rotation" : "last rotation", age[i].rotated);
        if (!age[i].set && !age[i].rotated)
            printf("no run with it has told its age");
        printf("\n");
        print_end(name, &age[i]);
        print_missing(name, &age[i]);
        if (age[i].begun)
            printf("    A %s was left half way: `purser %s %s%s` goes on with it.\n",
                   age[i].revoking ? "revocation" : "rotation", age[i].revoking ? "revoke" : "rotate", name,
                   age[i].revoking ? "" : " --resume");
        if (age[i].unreadable)
            printf("    Its rotation journal cannot be read or was altered: `purser rotate %s --status` says "
                   "more.\n",
                   name);
    }
}
