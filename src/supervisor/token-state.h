/* How each source's token stands: for `purser token list`, and for STATE/tokens.json, in which a purser that
 * runs keeps it, since only its keeper knows. Never a token, nor a hash of one. */
#pragma once

#include "base/json.h"
#include "supervisor/keeper-link.h"

/* STATE/tokens.json anew. A failure is logged: it is for people only. */
void token_state_write(const State *state, const Config *config, const KeeperLink *keeper);

/* Of the purser that runs here; -errno when there is no such file. *ret_found has one per source of the
 * configuration. */
int token_state_read(const State *state, const Config *config, KeeperFound *ret_found) MUST_USE;

void token_state_json(const Config *config, const KeeperFound *found, JsonWriter *json);
void token_state_print(const Config *config, const KeeperFound *found);
