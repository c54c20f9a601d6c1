/* The parts of `purser policy`, one file each. */
#pragma once

#include "policy/policy.h"
#include "purser/command.h"

int policy_explain_run(const Invocation *invocation); /* policy-explain.c */
int policy_list_run(const Invocation *invocation);    /* policy-list.c */
int policy_record_run(const Invocation *invocation);  /* policy-record.c */

/* cmd-policy.c */
const char *policy_option(const Invocation *invocation, const char *name);
/* A policy's file: EXIT_CONFIG after saying why, or -1. */
int policy_read_file(const char *path, Policy **ret_policy);
