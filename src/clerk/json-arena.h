/* Where jansson's objects of one line live: taken from the front of an arena, and all given back at once
 * before the next line. So nothing is freed one by one, and what a hostile line can make us allocate has an
 * end: past it jansson says that memory is out, and the line is a dead letter.
 */
#pragma once

#include "base/result.h"

#define JSON_ARENA_MAX (128u << 20)

void json_arena_install(void); /* once, before the first use of jansson; also seeds its hash tables */
void json_arena_reset(void);   /* every json_t of before is gone */
void json_arena_wipe(void);    /* gone, and overwritten: something secret was parsed */
