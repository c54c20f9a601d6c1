/* The operation that a server will execute, and what it asks for. See graphql.h. */
#include "graphql/graphql.h"

#include <errno.h>

const char *graphql_type_text(uint32_t type)
{
    return type == GRAPHQL_QUERY          ? "query"
           : type == GRAPHQL_MUTATION     ? "mutation"
           : type == GRAPHQL_SUBSCRIPTION ? "subscription"
                                          : "?";
}

static int fail_at(const GraphqlDocument *document, uint32_t at, Fault *fault, const char *what, Slice name,
                   const char *and)
{
    GraphqlPlace place = graphql_place(document->text, at);
    return fault_set(fault, -EINVAL, "the GraphQL document, line %u, column %u: %s%.*s%s", place.line,
                     place.column, what, (int)name.len, name.ptr, and);
}

static int find_operation(const GraphqlDocument *document, Slice name, const GraphqlOperation **ret_operation,
                          Fault *fault)
{
    const GraphqlOperation *operation = document->operation;
    if (name.len == 0 && document->n_operation > 1)
        return fault_set(fault, -EINVAL,
                         "the GraphQL document has %zu operations and the request does not say which: set "
                         "operationName",
                         document->n_operation);
    while (name.len && operation && !slice_equal(operation->name, name))
        operation = operation->next;
    if (!operation)
        return fault_set(fault, -EINVAL,
                         "the GraphQL document has no operation of the name in operationName");
    *ret_operation = operation;
    return 0;
}

/* Each variable's own value. */
static void give_values(const GraphqlOperation *operation, const GraphqlEntry *given)
{
    for (GraphqlVariable *variable = operation->variable; variable; variable = variable->next) {
        const GraphqlEntry *entry = given;
        while (entry && !slice_equal(entry->name, variable->name))
            entry = entry->next;
        variable->value = entry ? &entry->value : variable->fallback;
    }
}

static const GraphqlVariable *find_variable(const GraphqlOperation *operation, Slice name)
{
    const GraphqlVariable *variable = operation->variable;
    while (variable && !slice_equal(variable->name, name))
        variable = variable->next;
    return variable;
}

static int check_entries(const GraphqlChosen *chosen, const GraphqlEntry *entry, Fault *fault)
{
    for (int r = 0; entry; entry = entry->next) {
        const GraphqlValue *value = &entry->value;
        if (value->kind == GRAPHQL_VARIABLE && !find_variable(chosen->operation, value->text))
            r = fail_at(chosen->document, value->at, fault, "the operation does not declare the variable $",
                        value->text, "");
        else
            r = check_entries(chosen, value->entry, fault);
        if (r)
            return r;
    }
    return 0;
}

/* Every selection that the operation uses, each fragment once: its variables are declared. */
static int check_used(const GraphqlChosen *chosen, const GraphqlSelection *selection, Fault *fault)
{
    for (int r = 0; selection; selection = selection->next) {
        r = check_entries(chosen, selection->argument, fault);
        for (const GraphqlDirective *d = selection->directive; d && r == 0; d = d->next)
            r = check_entries(chosen, d->argument, fault);
        if (r == 0)
            r = check_used(chosen, selection->child, fault);
        if (r == 0 && selection->fragment && !selection->fragment->used) {
            selection->fragment->used = true;
            r = check_used(chosen, selection->fragment->child, fault);
        }
        if (r)
            return r;
    }
    return 0;
}

static uint32_t depth_of(const GraphqlSelection *selection)
{
    uint32_t most = 0;
    for (; selection; selection = selection->next) {
        uint32_t depth = selection->fragment
                             ? selection->fragment->totals.depth
                             : depth_of(selection->child) + (selection->kind == GRAPHQL_FIELD);
        most = depth > most ? depth : most;
    }
    return most;
}

static int add_roots(GraphqlChosen *chosen, const GraphqlSelection *selection, Fault *fault)
{
    for (int r = 0; selection && r == 0; selection = selection->next) {
        if (selection->kind != GRAPHQL_FIELD) {
            r = add_roots(chosen, selection->fragment ? selection->fragment->child : selection->child, fault);
            if (r)
                return r;
            continue;
        }
        if (chosen->n_root == GRAPHQL_MAX_ROOTS)
            return fail_at(chosen->document, selection->at, fault,
                           "the operation asks for too many root fields", (Slice){"", 0},
                           "; ask for fewer at a time");
        chosen->root[chosen->n_root++] = (GraphqlRoot){selection, 1 + depth_of(selection->child)};
    }
    return 0;
}

int graphql_choose(GraphqlArena *arena, GraphqlDocument *document, const GraphqlRequest *request,
                   GraphqlChosen *ret_chosen, Fault *fault)
{
    GraphqlChosen chosen = {.document = document};
    int r = find_operation(document, request->operation_name, &chosen.operation, fault);
    if (r)
        return r;
    for (GraphqlFragment *fragment = document->fragment; fragment; fragment = fragment->next)
        fragment->used = false;
    chosen.root = graphql_arena_take(arena, GRAPHQL_MAX_ROOTS * sizeof(GraphqlRoot));
    if (!chosen.root)
        return fault_set(fault, -EINVAL, "the GraphQL document is larger than purser takes");
    give_values(chosen.operation, request->variable);
    r = check_used(&chosen, chosen.operation->child, fault);
    if (r == 0)
        r = add_roots(&chosen, chosen.operation->child, fault);
    if (r == 0)
        *ret_chosen = chosen;
    return r;
}

int graphql_read(GraphqlArena *arena, const GraphqlRequest *request, GraphqlChosen *ret_chosen, Fault *fault)
{
    GraphqlDocument *document = GRAPHQL_NEW(arena, GraphqlDocument);
    if (!document)
        return fault_set(fault, -EINVAL, "the GraphQL request is larger than purser takes");
    int r = graphql_parse(arena, request->query, document, fault);
    return r ? r : graphql_choose(arena, document, request, ret_chosen, fault);
}

const GraphqlValue *graphql_resolve(const GraphqlChosen *chosen, const GraphqlValue *value)
{
    if (value->kind != GRAPHQL_VARIABLE)
        return value;
    const GraphqlVariable *variable = find_variable(chosen->operation, value->text);
    return variable ? variable->value : NULL;
}

bool graphql_visit(const GraphqlSelection *selection, GraphqlVisit *visit, void *context)
{
    for (; selection; selection = selection->next) {
        if (selection->kind == GRAPHQL_FIELD && !visit(selection, context))
            return false;
        if (!graphql_visit(selection->fragment ? selection->fragment->child : selection->child, visit,
                           context))
            return false;
    }
    return true;
}
