/* Inside policy/: GraphQL rules and their tests from a policy's file. Supervisor only. */
#pragma once

#include "policy/graphql-rule.h"
#include "yaml/field.h"

/* What stands behind `graphql:`. *ret_rule is set also on failure, to what was read so far. */
int load_graphql_rule(const YamlDoc *doc, const YamlNode *node, bool deny, PolicyGraphql **ret_rule,
                      Fault *fault) MUST_USE;

/* A test's `variables:` as an object in GraphQL's grammar. What is quoted is a string; what is not is a
 * number or a boolean where it looks like one. */
int load_graphql_variables(const YamlDoc *doc, const YamlNode *node, char **ret_text, Fault *fault) MUST_USE;
