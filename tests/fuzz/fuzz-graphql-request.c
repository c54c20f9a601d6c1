/* A GraphQL request in each of its forms; the first byte says which. What is accepted is sent in a form that
 * is accepted too, asks for the same, and is sent the same way again. */
#include "http/target.h"
#include "keeper/graphql-request.h"
#include "json/arena.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Asked {
    uint32_t type;
    GraphqlTotals totals;
    size_t roots;
    char summary[512];
} Asked;

/* False: refused. */
static bool once(GraphqlWay way, Slice bytes, Buf *out, Asked *asked)
{
    GraphqlChosen chosen;
    Refused refused = {0};
    bool yes = graphql_take(way, bytes, &chosen, &refused);
    if (yes) {
        *asked = (Asked){chosen.operation->type, chosen.operation->totals, chosen.n_root, ""};
        graphql_summary(&chosen, asked->summary, sizeof(asked->summary));
        yes = graphql_send(way, &chosen, out, &refused);
    }
    graphql_forget();
    if (!yes && (!refused.refusal || !refused.fault.text[0]))
        abort();
    return yes;
}

/* The keeper only sees targets in their one form. */
static Slice query_of(Slice raw, Target *target)
{
    static char text[HTTP_MAX_TARGET + 1];
    if (raw.len + 2 > HTTP_MAX_TARGET)
        return (Slice){"", 0};
    memcpy(text, "/?", 2);
    memcpy(text + 2, raw.ptr, raw.len);
    return target_normalise((Slice){text, raw.len + 2}, target, NULL) ? (Slice){"", 0} : target_query(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Target target, again;
    static bool installed;
    Asked asked, same;
    if (!installed)
        json_arena_install(GRAPHQL_JSON_ARENA);
    installed = true;
    if (size == 0)
        return 0;
    GraphqlWay way = (GraphqlWay)(data[0] % 3);
    Slice bytes = {(const char *)data + 1, size - 1};
    CLEANUP_BUF Buf first = BUF_INIT(way == GRAPHQL_BY_QUERY ? HTTP_MAX_TARGET : GRAPHQL_MAX_BODY),
                    second = BUF_INIT(GRAPHQL_MAX_BODY);
    if (way == GRAPHQL_BY_QUERY)
        bytes = query_of(bytes, &target);
    if (!once(way, bytes, &first, &asked))
        return 0;
    Slice sent = buf_slice(&first);
    if (way == GRAPHQL_BY_QUERY && first.len + 2 <= HTTP_MAX_TARGET) {
        Slice normal = query_of(sent, &again);
        if (!slice_equal(normal, sent)) /* what is sent is in the one form already */
            abort();
    }
    if (!once(way == GRAPHQL_BY_DOCUMENT ? GRAPHQL_BY_JSON : way, sent, &second, &same) ||
        !slice_equal(buf_slice(&first), buf_slice(&second)) || asked.type != same.type ||
        asked.roots != same.roots || memcmp(&asked.totals, &same.totals, sizeof(asked.totals)) != 0 ||
        strcmp(asked.summary, same.summary) != 0)
        abort();
    return 0;
}
