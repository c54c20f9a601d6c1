/* Inside policy/: parameters and what is given for them, from YAML. Supervisor only. */
#pragma once

#include "policy/policy.h"
#include "yaml/field.h"

/* `parameters:` */
int load_parameters(const YamlDoc *doc, const YamlNode *map, Policy *policy, Fault *fault) MUST_USE;
/* `unless:` of a rule: each is declared. */
int load_unless(const YamlDoc *doc, const YamlNode *node, const Policy *policy, PolicyRule *rule,
                Fault *fault) MUST_USE;
/* That the values in a GraphQL rule's arguments name declared parameters alone. */
int load_check_arguments(const YamlDoc *doc, const YamlNode *node, const Policy *policy,
                         const PolicyRule *rule, Fault *fault) MUST_USE;
