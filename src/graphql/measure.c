/* What documents come to. See measure.h. Sums are of bounded terms and checked after each, so they never
 * wrap. */
#include "graphql/measure.h"

enum { FRAGMENT_NEW, FRAGMENT_OPEN, FRAGMENT_MEASURED };

typedef struct Measure {
    Parser *parser;
    GraphqlDocument *document;
} Measure;

static GraphqlTotals measure_selections(Measure *measure, GraphqlSelection *selection, unsigned nesting);

static void link_fragment(Measure *measure, GraphqlSelection *spread)
{
    GraphqlFragment *fragment = measure->document->fragment;
    while (fragment && !slice_equal(fragment->name, spread->name))
        fragment = fragment->next;
    if (!fragment)
        parser_fail(measure->parser, spread->at, "there is no fragment '%.*s'", (int)spread->name.len,
                    spread->name.ptr);
    spread->fragment = fragment;
}

static GraphqlTotals measure_fragment(Measure *measure, GraphqlFragment *fragment, uint32_t from,
                                      unsigned nesting)
{
    if (fragment->state == FRAGMENT_OPEN)
        parser_fail(measure->parser, from, "the fragment '%.*s' contains itself", (int)fragment->name.len,
                    fragment->name.ptr);
    if (fragment->state == FRAGMENT_NEW) {
        fragment->state = FRAGMENT_OPEN;
        fragment->totals = measure_selections(measure, fragment->child, nesting);
        fragment->state = FRAGMENT_MEASURED;
    }
    return fragment->totals;
}

/* Adds what a selection comes to. `deeper`: it is a field. */
static void add(Measure *measure, GraphqlTotals *sum, GraphqlTotals more, bool deeper, uint32_t at)
{
    uint32_t depth = more.depth + deeper;
    sum->selections += more.selections + 1;
    sum->aliases += more.aliases;
    sum->depth = depth > sum->depth ? depth : sum->depth;
    sum->nesting = more.nesting + 1 > sum->nesting ? more.nesting + 1 : sum->nesting;
    if (sum->selections > GRAPHQL_MAX_SELECTIONS)
        parser_fail(measure->parser, at, "with its fragments expanded it selects more than %d fields",
                    GRAPHQL_MAX_SELECTIONS);
    if (sum->aliases > GRAPHQL_MAX_ALIASES)
        parser_fail(measure->parser, at, "with its fragments expanded it has more than %d aliases",
                    GRAPHQL_MAX_ALIASES);
    if (sum->depth > GRAPHQL_MAX_DEPTH)
        parser_fail(measure->parser, at, "more than %d fields are nested", GRAPHQL_MAX_DEPTH);
}

static GraphqlTotals measure_selections(Measure *measure, GraphqlSelection *selection, unsigned nesting)
{
    GraphqlTotals sum = {0};
    uint32_t begin = selection ? selection->at : 0;
    if (nesting > GRAPHQL_MAX_NESTING)
        parser_fail(measure->parser, begin, "more than %d selections are nested", GRAPHQL_MAX_NESTING);
    for (; selection && !measure->parser->failed; selection = selection->next) {
        GraphqlTotals more = {.aliases = selection->alias.len > 0};
        GraphqlTotals beneath = {0};
        if (selection->kind == GRAPHQL_SPREAD)
            link_fragment(measure, selection);
        if (selection->fragment)
            beneath = measure_fragment(measure, selection->fragment, selection->at, nesting + 1);
        else if (selection->child)
            beneath = measure_selections(measure, selection->child, nesting + 1);
        beneath.aliases += more.aliases;
        add(measure, &sum, beneath, selection->kind == GRAPHQL_FIELD, selection->at);
    }
    /* A fragment that was measured before is no way to nest deeper than the bound. */
    if (nesting + sum.nesting > GRAPHQL_MAX_NESTING + 1)
        parser_fail(measure->parser, begin, "more than %d selections are nested", GRAPHQL_MAX_NESTING);
    return sum;
}

void measure_document(Parser *parser, GraphqlDocument *document)
{
    Measure measure = {parser, document};
    for (GraphqlOperation *operation = document->operation; operation; operation = operation->next)
        operation->totals = measure_selections(&measure, operation->child, 1);
    for (GraphqlFragment *fragment = document->fragment; fragment; fragment = fragment->next)
        measure_fragment(&measure, fragment, fragment->at, 1);
    if (!document->operation)
        parser_fail(parser, parser->token.at, "there is no operation in it");
}
