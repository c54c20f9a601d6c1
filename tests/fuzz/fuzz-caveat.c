/* Lines of caveats, one after the other: what is read stays inside its text, and each one only takes away. */
#include "base/mem.h"
#include "graphql/graphql.h"
#include "http/head.h"
#include "lease/caveat.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const CaveatUse uses[] = {
    {.wall = 0, .host = "api.test", .methods = HTTP_GET, .path = {"/repos/a/b", 10}},
    {.wall = INT64_MAX, .host = "a", .methods = HTTP_GET | HTTP_DELETE, .path = {"/", 1}},
    {.wall = 1767323045000000,
     .host = "api.github.com",
     .methods = HTTP_POST,
     .graphql = true,
     .operations = GRAPHQL_QUERY},
    {.host = "", .methods = 0, .graphql = true, .path = {"", 0}},
};

static void check_value(const char *text, const Caveat *caveat)
{
    bool points = caveat->word == CAVEAT_HOST || caveat->word == CAVEAT_PATH;
    const char *value = strchr(text, '=');
    if (!value || (points && caveat->value != value + 1) || !caveat_word_text(caveat->word)[0])
        abort();
    if (strncmp(text, caveat_word_text(caveat->word), (size_t)(value - text)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool allowed[COUNT_OF(uses)];
    Slice line, rest = {(const char *)data, size};
    bool more = size > 0;
    memset(allowed, 1, sizeof(allowed));
    while (more) {
        Caveat caveat;
        more = slice_cut(rest, '\n', &line, &rest);
        CLEANUP_MEM char *text = mem_dup(line.ptr, line.len);
        int r = caveat_parse(text, &caveat);
        if (r == 0)
            check_value(text, &caveat);
        for (size_t i = 0; i < COUNT_OF(uses); i++) {
            bool now = r == 0 && allowed[i] && caveat_allows(&caveat, &uses[i]);
            if (now && !allowed[i])
                abort();
            allowed[i] = now;
        }
    }
    return 0;
}
