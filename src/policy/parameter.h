/* Inside policy/: a policy's parameters.
 *
 *   parameters:
 *     owner: {default: '*', class: name}  # without `default` a value must be given
 *     id: {default: '*', class: number, unless: [owner]}
 *   allow:
 *   - {method: GET, path: '/repos/{owner}/{repo}'}
 *   - {method: GET, path: '/repositories/{id}'}
 *   - {method: GET, path: /events, unless: [owner]}
 *   - graphql: {fields: [repository], arguments: {repository: {owner: ['{owner}']}}}
 *
 * A value is one segment, literally, whatever it is: it makes a policy narrower, never wider. '*', any
 * segment, is one that only a default can be. What else would stay as wide when a value is given says
 * `unless`: a rule is left out when one of those parameters was given; of a parameter the default does not
 * hold then, and rules with it are left out as long as it is not given itself. In an argument of GraphQL '*'
 * is no condition, and a rule where it would be one by half is left out. In a path under `deny` each
 * parameter is any segment.
 */
#pragma once

#include "policy/policy.h"

/* NULL, or what is wrong with a value: a sentence without its beginning. */
const char *policy_value_problem(PolicyClass kind, const char *value);

PolicyParameter *policy_find_parameter(const Policy *policy, Slice name); /* or NULL */
bool policy_is_parameter_name(const char *name);

/* The first "{name}" of a text at or behind *at; *ret_name and, in *at, its end. False: there is no more. */
bool policy_next_parameter(Slice text, size_t *at, Slice *ret_name);

/* NULL, or what is wrong with the braces of a path: each pair is one whole segment. *ret_name: the parameter
 * at fault, if it is one that is not declared. The rest of the path is checked as of any rule. */
const char *policy_template_problem(const Policy *policy, Slice path, Slice *ret_name);

/* A text of a bound policy's tests with the values in it. What may be anything is the parameter's name. */
char *policy_fill_path(const Policy *bound, const char *path);
char *policy_fill_strings(const Policy *bound, const char *document); /* inside the strings of GraphQL */
