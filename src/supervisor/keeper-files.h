/* Which files the keeper is handed, and may ask for again: token files, what a store's login and its TLS
 * need. */
#pragma once

#include "config/config.h"

/* Whether some token of these, or what it is minted or fetched with, is in the keyring. */
bool keeper_needs_keyring(const Config *config, const bool *used);

/* Each path once. `used`: per source, whether some run may use it. */
void keeper_files_collect(const Config *config, const bool *used, char ***ret_file, size_t *ret_n);
