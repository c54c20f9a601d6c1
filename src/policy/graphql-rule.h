/* GraphQL rules: what a lease may ask at a source's GraphQL endpoint.
 *
 *   allow:
 *   - graphql:
 *       operations: [query]           # query, mutation; left out: [query]. Subscriptions are always refused.
 *       fields: [repository]          # root fields; '*' is each one but introspection (__schema, __type)
 *       arguments: {repository: {owner: [acme], name: [web, api]}}
 *       subfields: [id, name, runs]   # what may be asked beneath them, at any depth; left out: everything
 *       beneath: {author: [login]}    # all that may be asked beneath such a field, at any depth
 *       maxDepth: 10                  # fields within fields, the root field counted; left out: 20
 *       maxAliases: 20                # of the whole operation; left out: 50
 *   deny:
 *   - graphql: {fields: [log, token]} # wherever they stand, in any letter case
 *
 * An operation is allowed when each of its root fields is allowed by some rule, and no deny rule names any of
 * its fields. An argument that a rule names must be there, and be one of the values, as a string, number,
 * enum value or boolean, in the document or by a variable; a list of such is allowed when it is not empty and
 * each of it is. The field __typename, which says a type's name, needs no rule of its own. Lists of names are
 * sorted, so that they can be searched; what is denied is in lower case.
 *
 * `beneath` takes away and never adds: what stands beneath several of its fields must be in the list of each,
 * and in `subfields`, if there are some. The root field is none of its fields, whatever it is called, since
 * `subfields` says what stands beneath that.
 */
#pragma once

#include "graphql/graphql.h"
#include "policy/policy.h"

#define POLICY_MAX_FIELDS      512 /* names in one list */
#define POLICY_MAX_ARGUMENTS   32  /* of a rule */
#define POLICY_MAX_VALUES      128 /* of an argument */
#define POLICY_MAX_VALUE       256 /* bytes of one */
#define POLICY_MAX_BENEATH     64  /* fields under `beneath`: bits of a number */
#define POLICY_DEFAULT_DEPTH   20
#define POLICY_DEFAULT_ALIASES 50

typedef struct PolicyArgument {
    char *field, *name;
    char **value; /* sorted */
    size_t n_value;
} PolicyArgument;

typedef struct PolicyBeneath {
    char *field;
    char **name; /* what may stand beneath it */
    size_t n_name;
} PolicyBeneath;

typedef struct PolicyGraphql {
    uint32_t operations; /* GraphqlType bits; 0 in a deny rule */
    char **field;
    size_t n_field;
    char **subfield;
    size_t n_subfield;
    bool any_subfield;
    uint32_t max_depth, max_aliases; /* 0 in a deny rule */
    PolicyArgument *argument;
    size_t n_argument;
    PolicyBeneath *beneath; /* sorted by `field` */
    size_t n_beneath;
    bool borrows_beneath; /* of a rule before it in the same policy, which ends with it */
} PolicyGraphql;

/* NULL, or what is wrong with a rule: a sentence without its beginning. Sorts nothing: lists that are not
 * sorted are wrong. */
const char *policy_graphql_problem(const PolicyGraphql *rule, bool deny);
PolicyGraphql *policy_graphql_free(PolicyGraphql *rule); /* takes NULL, returns NULL */

typedef enum PolicyGraphqlWhy {
    POLICY_GRAPHQL_ALLOWED,
    POLICY_GRAPHQL_SUBSCRIPTION,
    POLICY_GRAPHQL_DENIED, /* a deny rule names the field */
    POLICY_GRAPHQL_FIELD,  /* no rule names the root field for this type of operation */
    POLICY_GRAPHQL_DEPTH,  /* this and the rest: `rule` is the one that comes nearest */
    POLICY_GRAPHQL_ALIASES,
    POLICY_GRAPHQL_ARGUMENT,
    POLICY_GRAPHQL_SUBFIELD,
    POLICY_GRAPHQL_BENEATH,
} PolicyGraphqlWhy;

typedef struct PolicyGraphqlVerdict {
    PolicyAnswer answer;
    int32_t rule; /* that decided; -1: none */
    PolicyGraphqlWhy why;
    const GraphqlRoot *root;       /* that is refused; of what is allowed the first */
    const GraphqlSelection *field; /* the one at fault */
    const PolicyArgument *argument;
    const PolicyBeneath *beneath; /* whose list does not have the field */
} PolicyGraphqlVerdict;

/* Allocates nothing. Its time is bounded by GRAPHQL_MAX_SELECTIONS times the rules; of a rule with `beneath`
 * also times those of its fields within which one stands. */
PolicyGraphqlVerdict policy_decide_graphql(const Policy *policy, const GraphqlChosen *chosen);

/* The sentence for the script's author. It names fields and arguments, never what the request gave for them.
 */
void policy_explain_graphql(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                            const GraphqlChosen *chosen, Fault *ret_sentence);

/* graphql-beneath.c: whether a rule's `beneath` allows all of this, which stands beneath a root field; else
 * what is at fault. */
bool policy_beneath_allows(const PolicyGraphql *rule, const GraphqlSelection *child,
                           PolicyGraphqlVerdict *verdict);

/* For wire.c. What `beneath` says is sent by itself, so that rules without it are sent as ever; and once for
 * rules that stand behind each other and say the same, as those of many values do.
 */
void policy_graphql_put(const PolicyGraphql *rule, WireWriter *wire);
PolicyGraphql *policy_graphql_get(WireReader *wire);
void policy_beneath_put(const PolicyGraphql *rule, WireWriter *wire);
void policy_beneath_get(WireReader *wire, PolicyGraphql *rule);
bool policy_beneath_same(const PolicyGraphql *a, const PolicyGraphql *b); /* and there is something */
void policy_beneath_borrow(PolicyGraphql *rule, const PolicyGraphql *from);

/* For test.c: 0, or -EINVAL with "FILE:LINE: ...". */
int policy_run_graphql_test(const Policy *policy, const PolicyTest *test, GraphqlArena *arena,
                            Fault *fault) MUST_USE;
