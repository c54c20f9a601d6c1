/* GraphQL rules: what a lease may ask at a source's GraphQL endpoint.
 *
 *   allow:
 *   - graphql:
 *       operations: [query]           # query, mutation; left out: [query]. Subscriptions are always refused.
 *       fields: [repository]          # root fields; '*' is each one but introspection (__schema, __type)
 *       arguments: {repository: {owner: [acme], name: [web, api]}}
 *       subfields: [id, name, runs]   # what may be asked beneath them, at any depth; left out: everything
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
 */
#pragma once

#include "graphql/graphql.h"
#include "policy/policy.h"

#define POLICY_MAX_FIELDS      512 /* names in one list */
#define POLICY_MAX_ARGUMENTS   32  /* of a rule */
#define POLICY_MAX_VALUES      128 /* of an argument */
#define POLICY_MAX_VALUE       256 /* bytes of one */
#define POLICY_DEFAULT_DEPTH   20
#define POLICY_DEFAULT_ALIASES 50

typedef struct PolicyArgument {
    char *field, *name;
    char **value; /* sorted */
    size_t n_value;
} PolicyArgument;

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
} PolicyGraphqlWhy;

typedef struct PolicyGraphqlVerdict {
    PolicyAnswer answer;
    int32_t rule; /* that decided; -1: none */
    PolicyGraphqlWhy why;
    const GraphqlRoot *root;       /* that is refused; of what is allowed the first */
    const GraphqlSelection *field; /* the one at fault */
    const PolicyArgument *argument;
} PolicyGraphqlVerdict;

/* Allocates nothing. Its time is bounded by GRAPHQL_MAX_SELECTIONS times the rules. */
PolicyGraphqlVerdict policy_decide_graphql(const Policy *policy, const GraphqlChosen *chosen);

/* The sentence for the script's author. It names fields and arguments, never what the request gave for them.
 */
void policy_explain_graphql(const Policy *policy, const PolicyGraphqlVerdict *verdict,
                            const GraphqlChosen *chosen, Fault *ret_sentence);

/* For wire.c. */
void policy_graphql_put(const PolicyGraphql *rule, WireWriter *wire);
PolicyGraphql *policy_graphql_get(WireReader *wire);

/* For test.c: 0, or -EINVAL with "FILE:LINE: ...". */
int policy_run_graphql_test(const Policy *policy, const PolicyTest *test, GraphqlArena *arena,
                            Fault *fault) MUST_USE;
