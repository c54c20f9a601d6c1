/* A GraphQL document: each operation of what is accepted is printed, what is printed is accepted, asks for
 * the same root fields, and prints the same again. */
#include "graphql/print.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static GraphqlArena arena, again;

static bool same_value(const GraphqlValue *a, const GraphqlValue *b)
{
    const GraphqlEntry *x = a->entry, *y = b->entry;
    if (a->kind != b->kind || !slice_equal(a->text, b->text))
        return false;
    for (; x && y; x = x->next, y = y->next)
        if (!slice_equal(x->name, y->name) || !same_value(&x->value, &y->value))
            return false;
    return !x && !y;
}

static void check_same(const GraphqlChosen *a, const GraphqlChosen *b)
{
    if (a->n_root != b->n_root || a->operation->type != b->operation->type ||
        memcmp(&a->operation->totals, &b->operation->totals, sizeof(GraphqlTotals)) != 0)
        abort();
    for (size_t i = 0; i < a->n_root; i++) {
        GraphqlValue x = {.kind = GRAPHQL_OBJECT, .entry = a->root[i].field->argument};
        GraphqlValue y = {.kind = GRAPHQL_OBJECT, .entry = b->root[i].field->argument};
        if (!slice_equal(a->root[i].field->name, b->root[i].field->name) ||
            a->root[i].depth != b->root[i].depth || !same_value(&x, &y))
            abort();
    }
}

static bool count(const GraphqlSelection *field, void *context)
{
    (void)field;
    return ++*(uint32_t *)context <= GRAPHQL_MAX_SELECTIONS;
}

static void check_operation(GraphqlDocument *document, Slice name)
{
    GraphqlRequest request = {.operation_name = name};
    GraphqlChosen chosen, back;
    Fault fault = {""};
    uint32_t fields = 0;
    CLEANUP_BUF Buf first = BUF_INIT(4u << 20), second = BUF_INIT(4u << 20);
    if (graphql_choose(&arena, document, &request, &chosen, &fault)) {
        if (!fault.text[0])
            abort();
        return;
    }
    if (!graphql_visit(chosen.operation->child, count, &fields) || graphql_print(&chosen, &first))
        abort();
    graphql_arena_reset(&again);
    GraphqlRequest printed = {.query = buf_slice(&first)};
    if (graphql_read(&again, &printed, &back, &fault)) {
        /* Commas and spaces are added, so the largest documents may grow past the bound of a document. */
        if (first.len <= GRAPHQL_MAX_BYTES)
            abort();
        return;
    }
    check_same(&chosen, &back);
    if (graphql_print(&back, &second) || !slice_equal(buf_slice(&first), buf_slice(&second)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GraphqlDocument document;
    Fault fault = {""};
    if (!arena.room) {
        graphql_arena_init(&arena);
        graphql_arena_init(&again);
    }
    graphql_arena_reset(&arena);
    if (graphql_parse(&arena, (Slice){(const char *)data, size}, &document, &fault)) {
        if (!fault.text[0])
            abort();
        return 0;
    }
    for (const GraphqlOperation *operation = document.operation; operation; operation = operation->next)
        check_operation(&document, operation->name);
    return 0;
}
