/* What `purser status` says of each source's token: how old it is, when it dies and when it is rotated, and
 * whether a rotation or a revocation of it was left half way; whether it was revoked. From the runs' reports,
 * STATE/rotate and STATE/tokens.json; neither store nor provider is asked. */
#pragma once

#include "base/clock.h"
#include "supervisor/report.h"
#include "supervisor/state.h"

typedef struct TokenAge {
    int64_t set;     /* wall us: put into its store, as the last run with it was told; 0: not known */
    int64_t rotated; /* the last rotation ended; 0: there was none, or a revocation came after it */
    int64_t revoked; /* it was revoked, and no run has had another one since; 0: no */
    int64_t begun;   /* one is under way since; 0: none is */
    int64_t expires; /* the provider has said so, as it was last asked; 0: it has not */
    int64_t next;    /* `purser schedule` rotates it; 0: never by itself */
    bool revoking;
    bool unreadable;   /* its journal was altered, or cannot be read */
    char missing[512]; /* why the purser that runs here has none; "": it has one, or none runs */
} TokenAge;

#define TOKEN_AGE_WARN (14 * 86400ll * CLOCK_SECOND) /* before a token dies */

/* One per source of the configuration, to be freed. */
TokenAge *token_ages(const State *state, const Config *config, const RunReport *list, size_t n);
void token_ages_json(const Config *config, const TokenAge *age, JsonWriter *json, const char *key);
void token_ages_print(const Config *config, const TokenAge *age);
