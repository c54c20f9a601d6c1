/* Memory for one document and what is made of it: a fixed piece that is allocated once, filled from the front
 * and emptied at once before the next. Nothing in it is freed alone. What does not fit is refused: the bounds
 * of graphql.h are such that a document within them does.
 */
#pragma once

#include "base/slice.h"

#define GRAPHQL_ARENA (6u << 20) /* address space; pages that no document needed are never touched */

typedef struct GraphqlArena {
    char *data;
    size_t room, used;
    bool full; /* something did not fit */
} GraphqlArena;

void graphql_arena_init(GraphqlArena *arena);  /* takes nothing from the heap before its first use */
void graphql_arena_reset(GraphqlArena *arena); /* wipes what was used */
void graphql_arena_done(GraphqlArena *arena);

/* Zeroed; NULL when it does not fit. */
void *graphql_arena_take(GraphqlArena *arena, size_t size);
#define GRAPHQL_NEW(arena, T) ((T *)graphql_arena_take((arena), sizeof(T)))

/* A copy with a NUL behind it; an empty one when it does not fit (and `full` is set). */
Slice graphql_arena_copy(GraphqlArena *arena, Slice bytes);
