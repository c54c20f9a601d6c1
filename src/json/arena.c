/* jansson's memory, text by text. See arena.h. */
#include "json/arena.h"

#include "base/mem.h"

#include <jansson.h>
#include <sodium.h>

#define CHUNK (256u << 10)

typedef struct Chunk {
    struct Chunk *next;
    size_t room, used;
    _Alignas(16) char data[];
} Chunk;

static Chunk *newest; /* the one that is filled; older ones follow */
static size_t total, limit;

static void *arena_take(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!newest || newest->room - newest->used < size) {
        size_t room = size > CHUNK ? size : CHUNK;
        if (size > limit || total + room > limit)
            return NULL;
        Chunk *chunk = mem_new(1, sizeof(Chunk) + room);
        *chunk = (Chunk){.next = newest, .room = room};
        newest = chunk;
        total += room;
    }
    void *p = newest->data + newest->used;
    newest->used += size;
    return p;
}

static void arena_leave(void *p)
{
    (void)p;
}

void json_arena_install(size_t most)
{
    limit = most;
    json_set_alloc_funcs(arena_take, arena_leave);
    json_object_seed(1 + randombytes_uniform(UINT32_MAX - 1));
}

void json_arena_reset(void)
{
    while (newest && (newest->next || newest->room > CHUNK)) {
        Chunk *older = newest->next;
        total -= newest->room;
        mem_free(newest);
        newest = older;
    }
    if (newest)
        newest->used = 0;
}

void json_arena_wipe(void)
{
    for (Chunk *chunk = newest; chunk; chunk = chunk->next)
        sodium_memzero(chunk->data, chunk->used);
    json_arena_reset();
}
