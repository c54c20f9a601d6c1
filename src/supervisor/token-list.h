/* `purser token list`, of sources: what the keeper that runs knows, or one that is started for this. */
#pragma once

#include "supervisor/session.h"

/* Whether some source's token is in another store than the keyring: else the keyring's own list says it all.
 */
bool token_list_wanted(const Config *config);
int token_list_sources(const char *file, bool as_json); /* an exit status */
