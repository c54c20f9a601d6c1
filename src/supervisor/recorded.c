/* See recorded.h. */
#include "supervisor/recorded.h"

#include "base/mem.h"

/* The keeper's word; a NUL in it would end a path early. */
static char *text_of(Slice text)
{
    return text.len && memchr(text.ptr, '\0', text.len) ? mem_strdup("") : mem_dup(text.ptr, text.len);
}

void recorded_take(Recorded *recorded, const RunSeen *seen)
{
    if (recorded->n == RECORDED_MAX || (seen->path.len == 0 && seen->document.len == 0)) {
        recorded->lost += seen->count;
        return;
    }
    PolicySeen one = {.method = mem_strdup(seen->method),
                      .host = mem_strdup(seen->host),
                      .path = text_of(seen->path),
                      .query = text_of(seen->query),
                      .document = text_of(seen->document),
                      .variables = text_of(seen->variables),
                      .count = seen->count};
    size_t n = recorded->n;
    MEM_PUSH(recorded->source, n, seen->source);
    MEM_PUSH(recorded->seen, recorded->n, one);
}

void recorded_done(Recorded *recorded)
{
    for (size_t i = 0; i < recorded->n; i++) {
        char *const text[] = {recorded->seen[i].method,   recorded->seen[i].host,
                              recorded->seen[i].path,     recorded->seen[i].query,
                              recorded->seen[i].document, recorded->seen[i].variables};
        for (size_t k = 0; k < COUNT_OF(text); k++)
            mem_free(text[k]);
    }
    mem_free(recorded->seen);
    mem_free(recorded->source);
    *recorded = (Recorded){0};
}
