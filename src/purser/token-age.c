/* How old tokens are. See token-age.h. */
#include "purser/token-age.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/audit-files.h"
#include "rotate/journal.h"

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
    age->rotated = end.open || !end.number ? 0 : end.time;
}

TokenAge *token_ages(const State *state, const Config *config, const RunReport *list, size_t n)
{
    unsigned char key[AUDIT_KEY];
    TokenAge *age = MEM_NEW_ARRAY(TokenAge, config->n_source ? config->n_source : 1);
    Fault fault;
    bool has_key = audit_files_key(state, key, &fault) == 0;
    for (size_t i = 0; i < config->n_source; i++) {
        age[i].set = last_set(config->source[i].name, list, n);
        read_journal(state, config->source[i].name, has_key ? key : NULL, &age[i]);
    }
    sodium_memzero(key, sizeof(key));
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
