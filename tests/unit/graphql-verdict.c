/* What our parser makes of documents, for a test that compares it with another implementation. Standard
 * input: for each document its length in decimal, a newline, its bytes. Standard output: a line of JSON for
 * each:
 * {"valid": false, "why": ...} or {"valid": true, "definitions": [{"kind", "name", "depth"} ...],
 * "chosen": {"type", "roots", "depth", "aliases", "printed"} when there is one operation}. */
#include "graphql/print.h"

#include "base/mem.h"

#include <stdio.h>

static GraphqlArena arena;
static char text[1u << 20];

static void put_totals(JsonWriter *json, GraphqlTotals totals)
{
    json_u64(json, "depth", totals.depth);
    json_u64(json, "aliases", totals.aliases);
    json_u64(json, "selections", totals.selections);
}

static void put_definitions(JsonWriter *json, const GraphqlDocument *document)
{
    json_array_begin(json, "definitions");
    for (const GraphqlOperation *operation = document->operation; operation; operation = operation->next) {
        json_object_begin(json, NULL);
        json_text(json, "kind", graphql_type_text(operation->type));
        json_slice(json, "name", operation->name);
        put_totals(json, operation->totals);
        json_object_end(json);
    }
    for (const GraphqlFragment *fragment = document->fragment; fragment; fragment = fragment->next) {
        json_object_begin(json, NULL);
        json_text(json, "kind", "fragment");
        json_slice(json, "name", fragment->name);
        put_totals(json, fragment->totals);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_chosen(JsonWriter *json, GraphqlDocument *document, Slice name)
{
    GraphqlRequest request = {.operation_name = name};
    GraphqlChosen chosen;
    Fault fault = {""};
    CLEANUP_BUF Buf printed = BUF_INIT(4u << 20);
    json_object_begin(json, NULL);
    json_slice(json, "name", name);
    if (graphql_choose(&arena, document, &request, &chosen, &fault)) {
        json_text(json, "why", fault.text);
    } else {
        json_array_begin(json, "roots");
        for (size_t i = 0; i < chosen.n_root; i++)
            json_slice(json, NULL, chosen.root[i].field->name);
        json_array_end(json);
        if (graphql_print(&chosen, &printed) == 0)
            json_slice(json, "printed", buf_slice(&printed));
    }
    json_object_end(json);
}

static void answer(Slice document_text)
{
    CLEANUP_BUF Buf out = BUF_INIT(32u << 20);
    JsonWriter json = JSON_WRITER(&out);
    GraphqlDocument document;
    Fault fault = {""};
    graphql_arena_reset(&arena);
    json_object_begin(&json, NULL);
    bool valid = graphql_parse(&arena, document_text, &document, &fault) == 0;
    json_bool(&json, "valid", valid);
    if (!valid) {
        json_text(&json, "why", fault.text);
    } else {
        put_definitions(&json, &document);
        json_array_begin(&json, "chosen");
        for (const GraphqlOperation *operation = document.operation; operation; operation = operation->next)
            put_chosen(&json, &document, operation->name);
        json_array_end(&json);
    }
    json_object_end(&json);
    if (json_finish(&json) == 0)
        printf("%s\n", buf_text(&out));
}

int main(void)
{
    unsigned long len;
    graphql_arena_init(&arena);
    while (scanf("%lu", &len) == 1 && getchar() == '\n' && len <= sizeof(text) &&
           fread(text, 1, len, stdin) == len)
        answer((Slice){text, len});
    graphql_arena_done(&arena);
    return 0;
}
