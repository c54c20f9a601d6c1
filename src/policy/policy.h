/* A policy: what a lease may do. Loaded from a YAML file (load.c, supervisor), sent to the keeper as
 * bytes, matched there (policy_decide, pure). Strict and small: no regular expressions; deny wins; nothing is
 * allowed unless it is named.
 *
 * A path pattern is matched against the normalised path relative to the source's REST base, segment by
 * segment:
 * `*` is exactly one segment, `**` (last segment only) is one or more, anything else is itself, byte for
 * byte.
 * A deny rule matches more than it says: also with a slash or a suffix (".json") at the end, with an encoded
 * slash for a slash, and in any letter case, so that no spelling which a server forgives leads around it. An
 * allow rule never does. What a rule may ask beside method and path (query, media types, the answer's size)
 * is in shape.h. Rules with `graphql:` are about the source's GraphQL endpoint, and nothing else is:
 * graphql-rule.h.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"
#include "base/wire.h"
#include "policy/permission.h"
#include "policy/shape.h"

#define POLICY_MAX_BYTES    (64u << 10) /* of the file */
#define POLICY_MAX_RULES    1024
#define POLICY_MAX_SEGMENTS 32
#define POLICY_MAX_TESTS    512
#define POLICY_MAX_PACKED   (56u << 10) /* of policy_put(): fits one record */

#define POLICY_MAX_PARAMETERS   16
#define POLICY_MAX_COMBINATIONS 256 /* of values that a grant gives, each with each */
#define POLICY_MAX_PARAMETER    40  /* bytes of a name */
#define POLICY_MAX_VALUE_BYTES  255 /* of one segment */
#define POLICY_ANY              "*" /* the value of a parameter that is not narrowed */

/* What a parameter's value is: any one segment; letters, digits, '.', '_', '-'; digits; several segments,
 * which one segment holds with encoded slashes (of sources with `encodedSlash: segment`). */
typedef enum PolicyClass {
    POLICY_CLASS_SEGMENT,
    POLICY_CLASS_NAME,
    POLICY_CLASS_NUMBER,
    POLICY_CLASS_PATH,
} PolicyClass;

typedef struct PolicyParameter {
    char *name;
    char *fallback; /* NULL: a value must be given */
    char **unless;  /* the default does not hold when one of these was given */
    size_t n_unless;
    PolicyClass kind;
    char *value; /* of a bound policy, the first of several; POLICY_ANY is any; NULL: none, so rules with it
                    are left out */
    unsigned line;
} PolicyParameter;

/* What is given for a policy's parameters: `with: {owner: acme, repo: [web, api]}`. A name comes as often as
 * it has values. */
typedef struct PolicyWith {
    char **name, **value;
    size_t n;
} PolicyWith;

typedef struct PolicyRule {
    bool deny;
    struct PolicyGraphql
        *graphql;      /* a GraphQL rule (graphql-rule.h), which has none of the next four; or NULL */
    uint32_t methods;  /* bit set of HttpMethod (http/head.h); 0: all (deny rules only) */
    char *host;        /* "" for the source's own */
    char *path;        /* as written, starts with '/' */
    PolicyShape shape; /* allow rules only */
    char **unless;     /* parameters (parameter.h); of what a file says, not sent */
    size_t n_unless;
    unsigned line; /* in the policy file */
} PolicyRule;

/* 0: the default of the word in question. */
typedef struct PolicyBudget {
    uint64_t requests;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t per_kilosecond; /* rate: requests per 1,000 s */
    uint64_t time;           /* us */
    uint64_t graphql_cost;   /* as the provider counts it */
} PolicyBudget;

typedef struct PolicyTest {
    char *method;
    char *path;
    char *query;          /* "": none */
    char *accept;         /* NULL: no such header */
    char *content_type;   /* NULL: no such header, and no body */
    char *graphql;        /* a document, instead of all these; or NULL */
    char *variables;      /* its variables as an object in GraphQL's own grammar; NULL: none */
    char *operation_name; /* NULL: none */
    PolicyWith with;
    bool expect_allow;
    unsigned line;
} PolicyTest;

typedef struct Policy {
    char *name;
    char *file;          /* for messages; not sent */
    char *documentation; /* the provider's page that it was written from; not sent */
    bool reveal;
    PolicyBudget budget;
    PolicyPermissions permissions; /* of a minted token; not sent */
    PolicyParameter *parameter;    /* not sent: what is sent has values in their place */
    size_t n_parameter;
    PolicyWith with; /* of a bound policy */
    PolicyRule *rule;
    size_t n_rule;
    uint32_t *order; /* indices of the REST rules, sorted by path: n_allow, then n_deny (match.c) */
    size_t n_allow, n_deny;
    PolicyTest *test; /* not sent */
    size_t n_test;
} Policy;

typedef enum PolicyAnswer { POLICY_ALLOW, POLICY_DENY, POLICY_NOT_NAMED } PolicyAnswer;

typedef struct PolicyVerdict {
    PolicyAnswer answer;
    int32_t rule;  /* index of the rule that decided; -1 for POLICY_NOT_NAMED */
    PolicyWhy why; /* of POLICY_NOT_NAMED: what keeps the nearest rule from allowing it, */
    int32_t near;  /* that rule, -1 if there is none, */
    Slice what;    /* and what of the request is at fault (shape.h) */
} PolicyVerdict;

/* Of several rules that allow it, or deny it, the first in the file decides. Allocates nothing; its time does
 * not grow with the number of rules but with those that begin as the path does. */
PolicyVerdict policy_decide(const Policy *policy, const PolicyRequest *request);

/* The same by the request's own method and by each that a `_method` of its query names, since servers may
 * take it for that: the first that is not allowed, else that of its own. *method, and request->method, become
 * that one's. */
PolicyVerdict policy_decide_overridden(const Policy *policy, PolicyRequest *request, const char **method);

/* Makes `order`, which policy_decide() searches: once the rules are there. policy_parse and policy_get do. */
void policy_index(Policy *policy);

/* A path pattern by itself, byte for byte, as an allow rule is matched. */
bool policy_path_matches(const char *pattern, Slice path);

/* The sentence for the script's author: what was refused, by which rule (file name and line), or which rule
 * would allow it: `... add to policy NAME: {method: GET, path: /repos/x/y}`. */
void policy_explain(const Policy *policy, const PolicyVerdict *verdict, const char *method,
                    const PolicyRequest *request, Fault *ret_sentence);

/* Bytes for the keeper. policy_get: -EBADMSG. */
void policy_put(const Policy *policy, WireWriter *wire);
bool policy_fits(const Policy *policy); /* into the one record that takes it to the keeper */
int policy_get(WireReader *wire, Policy **ret_policy) MUST_USE;

/* Parses a policy file's text. On failure -EINVAL and "FILE:LINE:COLUMN: sentence". */
int policy_parse(const char *file, Slice text, Policy **ret_policy, Fault *fault) MUST_USE;

/* One value for a parameter: 0, or -EINVAL with a sentence that says no place. */
int policy_check_value(const Policy *policy, const char *name, const char *value, Fault *fault) MUST_USE;
/* A parameter that needs a value and has none, or NULL. */
const char *policy_missing(const Policy *policy, const PolicyWith *with);
/* The policy with values in the place of its parameters: what is decided by, also where it has none. Its
 * tests stay behind. -EINVAL with a sentence that says no place. */
int policy_bind(const Policy *policy, const PolicyWith *with, Policy **ret_policy, Fault *fault) MUST_USE;
/* Whether `bound` is what policy_bind() would make of the two. */
bool policy_bound_as(const Policy *bound, const Policy *policy, const PolicyWith *with);
void policy_with_done(PolicyWith *with);

/* `with:` of a retriever's grant or of a test (policy/load-parameters.c); NULL: none. On failure *ret_with
 * holds what was read so far. */
struct YamlDoc;
struct YamlNode;
int policy_read_with(const struct YamlDoc *doc, const struct YamlNode *map, const Policy *policy,
                     PolicyWith *ret_with, Fault *fault) MUST_USE;

/* Runs the tests that stand beside the rules: 0, or -EINVAL and the first that fails, with its line. */
int policy_run_tests(const Policy *policy, Fault *fault) MUST_USE;

Policy *policy_free(Policy *policy); /* takes NULL, returns NULL */
