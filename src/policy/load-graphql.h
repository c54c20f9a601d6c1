/* Inside policy/: GraphQL rules and their tests from a policy's file. Supervisor only. */
#pragma once

#include "policy/graphql-rule.h"
#include "yaml/field.h"

/* What stands behind `graphql:`. *ret_rule is set also on failure, to what was read so far. */
int load_graphql_rule(const YamlDoc *doc, const YamlNode *node, bool deny, PolicyGraphql **ret_rule,
                      Fault *fault) MUST_USE;

/* load-beneath.c: what stands behind `beneath:` (NULL: nothing), once the rule has its subfields. */
int load_beneath(const YamlDoc *doc, const YamlNode *map, PolicyGraphql *rule, Fault *fault) MUST_USE;

/* A test's `variables:` as an object in GraphQL's grammar. What is quoted is a string; what is not is a
 * number or a boolean where it looks like one. `as_json`: they are a request's, in which a key may be
 * anything; one that is no name of GraphQL's is left out. */
int load_graphql_variables(const YamlDoc *doc, const YamlNode *node, bool as_json, char **ret_text,
                           Fault *fault) MUST_USE;
