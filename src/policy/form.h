/* The form that every rule has, whoever wrote it: checked where a file is read and again where bytes come in
 * from another role. */
#pragma once

#include "http/head.h"
#include "policy/policy.h"

#define POLICY_MAX_PATH 1024
#define POLICY_METHODS  (HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_PUT | HTTP_PATCH | HTTP_DELETE)

/* The bit of one of the six methods that a policy can name; 0 for any other. */
uint32_t policy_method(Slice text);

void policy_rule_done(PolicyRule *rule);

/* A parameter's value as one segment of a path in its one form (bind.c). */
char *policy_value_segment(const char *value);

/* NULL, or what is wrong with a rule's path: a sentence without its beginning ("must begin with '/'"). */
const char *policy_path_problem(Slice path);

/* The same for a whole rule. */
const char *policy_rule_problem(const PolicyRule *rule);
