/* Memory for one document. See arena.h. */
#include "graphql/arena.h"

#include "base/mem.h"

#define ALIGN 16

void graphql_arena_init(GraphqlArena *arena)
{
    *arena = (GraphqlArena){.room = GRAPHQL_ARENA};
}

void graphql_arena_reset(GraphqlArena *arena)
{
    if (arena->data)
        explicit_bzero(arena->data, arena->used);
    arena->used = 0;
    arena->full = false;
}

void graphql_arena_done(GraphqlArena *arena)
{
    graphql_arena_reset(arena);
    mem_free(arena->data);
    *arena = (GraphqlArena){0};
}

void *graphql_arena_take(GraphqlArena *arena, size_t size)
{
    if (size > arena->room - arena->used) {
        arena->full = true;
        return NULL;
    }
    if (!arena->data)
        arena->data = mem_new(arena->room, 1);
    void *at = arena->data + arena->used;
    size_t step = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    arena->used = step > arena->room - arena->used ? arena->room : arena->used + step;
    return at;
}

Slice graphql_arena_copy(GraphqlArena *arena, Slice bytes)
{
    char *copy = graphql_arena_take(arena, bytes.len + 1);
    if (!copy)
        return (Slice){"", 0};
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return (Slice){copy, bytes.len};
}
