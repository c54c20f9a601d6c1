/* What `purser status` says of each source's token: how old it is, and whether a rotation or a revocation of
 * it was left half way. From the runs' reports and the journals in STATE/rotate; no store is asked. */
#pragma once

#include "purser/report.h"
#include "purser/state.h"

typedef struct TokenAge {
    int64_t set;     /* wall us: put into its store, as the last run with it was told; 0: not known */
    int64_t rotated; /* the last rotation, or revocation, ended; 0: there was none */
    int64_t begun;   /* one is under way since; 0: none is */
    bool revoking;
    bool unreadable; /* its journal was altered, or cannot be read */
} TokenAge;

/* One per source of the configuration, to be freed. */
TokenAge *token_ages(const State *state, const Config *config, const RunReport *list, size_t n);
void token_ages_json(const Config *config, const TokenAge *age, JsonWriter *json, const char *key);
void token_ages_print(const Config *config, const TokenAge *age);
