/* GraphQL: documents that were seen, as rules. See narrow.h. */
#include "policy/narrow.h"

#include "base/mem.h"
#include "policy/graphql-rule.h"
#include "policy/list.h"

#include <errno.h>

typedef struct Given {
    char *name;
    char **value;
    size_t n_value;
    uint64_t times;
    bool open; /* not a string, or one of too many */
} Given;

/* A field, and the fields that stood right beneath it. */
typedef struct End {
    char *name;
    char **field;
    size_t n_field;
    bool goes_on; /* one of those had fields of its own */
} End;

typedef struct Root {
    char *name;
    uint32_t type;
    char **subfield;
    size_t n_subfield;
    uint32_t depth, aliases;
    Given *given;
    size_t n_given;
    End *end;
    size_t n_end;
    uint64_t times;
} Root;

typedef struct Roots {
    Root *root;
    size_t n;
} Roots;

/* Adds it, unless it is there. */
static void put_in(char ***list, size_t *n, Slice word)
{
    if (policy_list_find(*list, *n, word, false) >= 0)
        return;
    MEM_PUSH(*list, *n, mem_dup(word.ptr, word.len));
    policy_list_sort(*list, *n);
}

static Root *root_of(Roots *roots, uint32_t type, Slice name)
{
    for (size_t i = 0; i < roots->n; i++)
        if (roots->root[i].type == type && slice_is(name, roots->root[i].name))
            return &roots->root[i];
    MEM_PUSH(roots->root, roots->n, (Root){.name = mem_dup(name.ptr, name.len), .type = type});
    return &roots->root[roots->n - 1];
}

static End *end_of(Root *root, Slice name)
{
    for (size_t i = 0; i < root->n_end; i++)
        if (slice_is(name, root->end[i].name))
            return &root->end[i];
    MEM_PUSH(root->end, root->n_end, (End){.name = mem_dup(name.ptr, name.len)});
    return &root->end[root->n_end - 1];
}

static void note_beneath(End *end, const GraphqlSelection *selection)
{
    for (; selection; selection = selection->next) {
        if (selection->kind != GRAPHQL_FIELD)
            note_beneath(end, selection->fragment ? selection->fragment->child : selection->child);
        else if (!slice_is(selection->name, "__typename"))
            put_in(&end->field, &end->n_field, selection->name);
        end->goes_on |= selection->kind == GRAPHQL_FIELD && selection->child;
    }
}

static bool note_field(const GraphqlSelection *field, void *context)
{
    Root *root = context;
    if (!slice_is(field->name, "__typename"))
        put_in(&root->subfield, &root->n_subfield, field->name);
    if (field->child)
        note_beneath(end_of(root, field->name), field->child);
    return true;
}

static Given *given_of(Root *root, Slice name)
{
    for (size_t i = 0; i < root->n_given; i++)
        if (slice_is(name, root->given[i].name))
            return &root->given[i];
    MEM_PUSH(root->given, root->n_given, (Given){.name = mem_dup(name.ptr, name.len)});
    return &root->given[root->n_given - 1];
}

/* What a rule can say of an argument. */
static bool is_sayable(Slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7F || text.ptr[i] == '{')
            return false;
    return text.len > 0 && text.len <= POLICY_MAX_VALUE;
}

static void note_argument(Root *root, const GraphqlChosen *chosen, const GraphqlEntry *entry)
{
    const GraphqlValue *value = graphql_resolve(chosen, &entry->value);
    Given *given = given_of(root, entry->name);
    given->times++;
    if (!value || value->kind != GRAPHQL_STRING || !is_sayable(value->text))
        given->open = true;
    else
        put_in(&given->value, &given->n_value, value->text);
    given->open |= given->n_value > POLICY_NARROW_VALUES;
}

static int read_one(const PolicySeen *seen, GraphqlArena *arena, Roots *roots, Fault *fault)
{
    GraphqlValue variables = {0};
    GraphqlChosen chosen;
    GraphqlRequest request = {.query = slice_of(seen->document), .operation_name = {"", 0}};
    graphql_arena_reset(arena);
    int r = seen->variables[0] ? graphql_parse_value(arena, slice_of(seen->variables), &variables, fault) : 0;
    request.variable = variables.entry;
    r = r ? r : graphql_read(arena, &request, &chosen, fault);
    for (size_t i = 0; r == 0 && i < chosen.n_root; i++) {
        const GraphqlSelection *field = chosen.root[i].field;
        if (slice_is(field->name, "__typename"))
            continue;
        Root *root = root_of(roots, chosen.operation->type, field->name);
        root->times++;
        if (chosen.root[i].depth > root->depth)
            root->depth = chosen.root[i].depth;
        if (chosen.operation->totals.aliases > root->aliases)
            root->aliases = chosen.operation->totals.aliases;
        graphql_visit(field->child, note_field, root);
        for (const GraphqlEntry *entry = field->argument; entry; entry = entry->next)
            note_argument(root, &chosen, entry);
    }
    return r;
}

static int put_words(char *const *list, size_t n, Buf *out)
{
    int r = buf_append(out, "[", 1);
    for (size_t i = 0; i < n && r == 0; i++) {
        r = i ? buf_append(out, ", ", 2) : 0;
        r = r ? r : policy_narrow_word(out, slice_of(list[i]));
    }
    return r ? r : buf_append(out, "]", 1);
}

static int put_arguments(const Root *root, Buf *out)
{
    int r = 0;
    size_t n = 0;
    for (size_t i = 0; i < root->n_given && r == 0; i++) {
        const Given *given = &root->given[i];
        if (given->open || given->times < root->times || given->n_value == 0)
            continue;
        r = n ? buf_append(out, ", ", 2) : buf_append_text(out, "    arguments: {");
        if (n++ == 0) {
            r = r ? r : policy_narrow_word(out, slice_of(root->name));
            r = r ? r : buf_append_text(out, ": {");
        }
        r = r ? r : policy_narrow_word(out, slice_of(given->name));
        r = r ? r : buf_append(out, ": ", 2);
        r = r ? r : put_words(given->value, given->n_value, out);
    }
    return r || n == 0 ? r : buf_append_text(out, "}}\n");
}

/* Of the fields where what was seen ended: so that nothing else leads on from there. */
static int put_beneath(const Root *root, Buf *out)
{
    int r = 0;
    size_t n = 0;
    for (size_t i = 0; i < root->n_end && r == 0 && n < POLICY_MAX_BENEATH; i++) {
        const End *end = &root->end[i];
        if (end->goes_on || end->n_field == 0 || end->n_field > POLICY_MAX_FIELDS)
            continue;
        r = buf_append_text(out, n++ ? ", " : "\n    beneath: {");
        r = r ? r : policy_narrow_word(out, slice_of(end->name));
        r = r ? r : buf_append(out, ": ", 2);
        r = r ? r : put_words(end->field, end->n_field, out);
    }
    return r || n == 0 ? r : buf_append(out, "}", 1);
}

static int put_root(const Root *root, Buf *out)
{
    int r = buf_printf(out, "- graphql:\n    operations: [%s]\n    fields: ", graphql_type_text(root->type));
    r = r ? r : put_words(&root->name, 1, out);
    r = r ? r : buf_append(out, "\n", 1);
    r = r ? r : put_arguments(root, out);
    r = r ? r : buf_append_text(out, "    subfields: ");
    r = r ? r : put_words(root->subfield, root->n_subfield, out);
    r = r ? r : put_beneath(root, out);
    return r ? r : buf_printf(out, "\n    maxDepth: %u\n    maxAliases: %u\n", root->depth, root->aliases);
}

static void roots_done(Roots *roots)
{
    for (size_t i = 0; i < roots->n; i++) {
        Root *root = &roots->root[i];
        mem_free(root->name);
        mem_free_strings(root->subfield, root->n_subfield);
        for (size_t k = 0; k < root->n_given; k++) {
            mem_free(root->given[k].name);
            mem_free_strings(root->given[k].value, root->given[k].n_value);
        }
        mem_free(root->given);
        for (size_t k = 0; k < root->n_end; k++) {
            mem_free(root->end[k].name);
            mem_free_strings(root->end[k].field, root->end[k].n_field);
        }
        mem_free(root->end);
    }
    mem_free(roots->root);
}

int policy_narrow_graphql_rules(const PolicyNarrow *narrow, Buf *out, Fault *fault)
{
    GraphqlArena arena;
    Roots roots = {0};
    int r = 0;
    graphql_arena_init(&arena);
    for (size_t i = 0; i < narrow->n_seen && r == 0; i++)
        if (narrow->seen[i].document[0])
            r = read_one(&narrow->seen[i], &arena, &roots, fault);
    for (size_t i = 0; i < roots.n && r == 0; i++)
        r = put_root(&roots.root[i], out);
    roots_done(&roots);
    graphql_arena_done(&arena);
    return r;
}

/* Characters that YAML would read otherwise stand in the document's strings alone, which have such escapes
 * too.
 */
static int put_test(const PolicySeen *seen, Buf *out)
{
    int r = buf_append_text(out, "- graphql: \"");
    r = r ? r : policy_narrow_escaped(out, slice_of(seen->document), "\\\\", true);
    r = r ? r : buf_append(out, "\"", 1);
    if (r == 0 && seen->variables[0]) {
        r = buf_append_text(out, "\n  variables: ");
        r = r ? r : policy_narrow_escaped(out, slice_of(seen->variables), "\\", false);
    }
    return r ? r : buf_append_text(out, "\n  expect: allow\n");
}

/* The first of those that differ in their variables alone, as pages of a list do. */
static bool is_first(const PolicyNarrow *narrow, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(narrow->seen[i].document, narrow->seen[at].document) == 0)
            return false;
    return true;
}

int policy_narrow_graphql_tests(const PolicyNarrow *narrow, Buf *out)
{
    int r = 0;
    bool any = false;
    for (size_t i = 0, n = 0; i < narrow->n_seen && n < POLICY_MAX_TESTS / 8 && r == 0; i++) {
        CLEANUP_BUF Buf test = BUF_INIT(POLICY_MAX_BYTES);
        if (!narrow->seen[i].document[0] || !is_first(narrow, i))
            continue;
        any = true;
        n++;
        if (put_test(&narrow->seen[i], &test) == 0) /* one that is too long is none */
            r = policy_narrow_add_test(out, &test);
    }
    return r || !any ? r
                     : buf_append_text(out, "- {graphql: '{ __schema { types { name } } }', expect: deny}\n");
}
