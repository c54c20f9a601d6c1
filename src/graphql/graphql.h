/* Executable GraphQL documents (the October 2021 specification, sections 2 and 6): parsed, one operation
 * chosen, and what it asks for laid open: operation type, root fields with their arguments, depth, aliases.
 * Strict where servers differ, bounded everywhere. Pure: no sockets, no clock; everything that is made lies
 * in one arena (arena.h), points into the caller's text or into the arena, and is gone when the arena is
 * emptied.
 *
 * Refused in every document, also in parts that the chosen operation does not use: whatever the grammar does
 * not allow; type-system definitions; two operations or fragments of one name, or an operation without a name
 * beside others; a fragment that is spread and not there; fragments that spread each other in a circle;
 * arguments, object fields or variables that come twice; a directive other than @skip and @include, which
 * some servers let change what an operation does, or one of these twice or elsewhere than in a selection;
 * U+0000; more than the bounds below. Not refused, because it is not sent on (print.h): operations that were
 * not chosen, fragments that it does not use. They are parsed and bounded all the same.
 */
#pragma once

#include "base/fault.h"
#include "graphql/arena.h"

#define GRAPHQL_MAX_BYTES      (256u << 10) /* of a document */
#define GRAPHQL_MAX_TOKENS     10000        /* of a document: what it takes of the arena follows from it */
#define GRAPHQL_MAX_NESTING    64           /* brackets within brackets, fragments followed */
#define GRAPHQL_MAX_NAME       128
#define GRAPHQL_MAX_ENTRIES    256 /* arguments of a field, fields of an input object */
#define GRAPHQL_MAX_OPERATIONS 32
#define GRAPHQL_MAX_FRAGMENTS  128
#define GRAPHQL_MAX_VARIABLES  128   /* of an operation */
#define GRAPHQL_MAX_SELECTIONS 10000 /* fields, spreads and inline fragments once fragments are expanded */
#define GRAPHQL_MAX_DEPTH      50    /* fields within fields */
#define GRAPHQL_MAX_ALIASES    500   /* once fragments are expanded */
#define GRAPHQL_MAX_ROOTS      100   /* root fields once fragments are expanded */

/* Bits, so that a set of them is a number. */
typedef enum GraphqlType { GRAPHQL_QUERY = 1, GRAPHQL_MUTATION = 2, GRAPHQL_SUBSCRIPTION = 4 } GraphqlType;

const char *graphql_type_text(uint32_t type); /* "query" */

typedef enum GraphqlKind {
    GRAPHQL_NULL,
    GRAPHQL_BOOLEAN,
    GRAPHQL_INT,
    GRAPHQL_FLOAT,
    GRAPHQL_STRING,
    GRAPHQL_ENUM,
    GRAPHQL_LIST,
    GRAPHQL_OBJECT,
    GRAPHQL_VARIABLE,
} GraphqlKind;

typedef struct GraphqlValue {
    GraphqlKind kind;
    uint32_t at; /* where it begins in its text */
    Slice text;  /* a string's value, escapes and indentation of block strings taken off; a variable's name
                    without
                    '$'; a number, boolean or enum value as written */
    struct GraphqlEntry *entry; /* of a list (without names) or an object; NULL: none */
} GraphqlValue;

/* An argument, a field of an input object, an item of a list, a value for a variable. */
typedef struct GraphqlEntry {
    struct GraphqlEntry *next;
    Slice name;
    GraphqlValue value;
} GraphqlEntry;

typedef struct GraphqlDirective {
    struct GraphqlDirective *next;
    Slice name;
    GraphqlEntry *argument;
} GraphqlDirective;

typedef enum GraphqlSelect { GRAPHQL_FIELD, GRAPHQL_SPREAD, GRAPHQL_INLINE } GraphqlSelect;

typedef struct GraphqlSelection {
    struct GraphqlSelection *next;
    GraphqlSelect kind;
    uint32_t at;
    Slice alias; /* of a field; empty: none */
    Slice name;  /* of the field or the fragment; the type of an inline fragment, empty: none */
    GraphqlEntry *argument;
    GraphqlDirective *directive;
    struct GraphqlSelection *child;
    struct GraphqlFragment *fragment; /* of a spread */
} GraphqlSelection;

typedef struct GraphqlVariable {
    struct GraphqlVariable *next;
    Slice name;                /* without '$' */
    Slice type;                /* "[String!]!", in one form */
    GraphqlValue *fallback;    /* its default; NULL: none */
    const GraphqlValue *value; /* what the request gives it; NULL: nothing (graphql_choose fills it in) */
} GraphqlVariable;

/* What a selection set comes to once its fragments are expanded. */
typedef struct GraphqlTotals {
    uint32_t selections, aliases, depth, nesting;
} GraphqlTotals;

typedef struct GraphqlFragment {
    struct GraphqlFragment *next;
    uint32_t at;
    Slice name, type;
    GraphqlSelection *child;
    GraphqlTotals totals;
    uint8_t state; /* while it is measured */
    bool used;     /* by the operation that was chosen */
} GraphqlFragment;

typedef struct GraphqlOperation {
    struct GraphqlOperation *next;
    uint32_t at;
    uint32_t type; /* one GraphqlType */
    Slice name;    /* empty: none */
    GraphqlVariable *variable;
    GraphqlSelection *child;
    GraphqlTotals totals;
} GraphqlOperation;

typedef struct GraphqlDocument {
    Slice text;
    GraphqlOperation *operation;
    GraphqlFragment *fragment;
    size_t n_operation, n_fragment;
} GraphqlDocument;

/* 0, or -EINVAL with "the GraphQL document, line 2, column 7: sentence". What the document holds of strings
 * and comments is never repeated in a sentence; names are. */
int graphql_parse(GraphqlArena *arena, Slice text, GraphqlDocument *ret_document, Fault *fault) MUST_USE;

/* One constant value, as it would stand behind an argument. */
int graphql_parse_value(GraphqlArena *arena, Slice text, GraphqlValue *ret_value, Fault *fault) MUST_USE;

/* "line 2, column 7" of an offset into a text. Counts characters. */
typedef struct GraphqlPlace {
    unsigned line, column;
} GraphqlPlace;
GraphqlPlace graphql_place(Slice text, uint32_t at);

/* What came, by whatever way. */
typedef struct GraphqlRequest {
    Slice query;            /* the document */
    Slice operation_name;   /* empty: none */
    GraphqlEntry *variable; /* in the arena */
} GraphqlRequest;

/* One root field of the chosen operation, wherever it was written: an alias does not change it, @skip and
 * @include do not take it away, and one that stands in a fragment is there as often as the fragment is used.
 */
typedef struct GraphqlRoot {
    const GraphqlSelection *field;
    uint32_t depth; /* of it: 1 without fields beneath */
} GraphqlRoot;

/* The operation that a server will execute. */
typedef struct GraphqlChosen {
    const GraphqlDocument *document;
    const GraphqlOperation *operation; /* type, name, totals */
    GraphqlRoot *root;
    size_t n_root;
} GraphqlChosen;

/* The one of this name, or the only one. Gives its variables their values, notes which fragments it uses.
 * -EINVAL with a sentence: none, or several to choose from; a variable that it does not declare; more than
 * the bounds. */
int graphql_choose(GraphqlArena *arena, GraphqlDocument *document, const GraphqlRequest *request,
                   GraphqlChosen *ret_chosen, Fault *fault) MUST_USE;

/* Both. */
int graphql_read(GraphqlArena *arena, const GraphqlRequest *request, GraphqlChosen *ret_chosen,
                 Fault *fault) MUST_USE;

/* The value that a server will see: a variable's own, else its default. NULL: none, as if it were not
 * written. */
const GraphqlValue *graphql_resolve(const GraphqlChosen *chosen, const GraphqlValue *value);

/* Each field of a selection set and beneath it, fragments expanded, while `visit` returns true. False: it did
 * not once. At most GRAPHQL_MAX_SELECTIONS calls. */
typedef bool GraphqlVisit(const GraphqlSelection *field, void *context);
bool graphql_visit(const GraphqlSelection *child, GraphqlVisit *visit, void *context);
