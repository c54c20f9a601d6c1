/* Where jansson's objects of one text live (the clerk's line, the keeper's request): taken from the front of
 * an arena, and all given back at once before the next text. So nothing is freed one by one, and what a
 * hostile text can make us allocate has an end: past it jansson says that memory is out, and the text is
 * refused.
 */
#pragma once

#include "base/result.h"

/* Once, before the first use of jansson; also seeds its hash tables. `most`: bytes. */
void json_arena_install(size_t most);
void json_arena_reset(void); /* every json_t of before is gone */
void json_arena_wipe(void);  /* gone, and overwritten: something secret was parsed */
