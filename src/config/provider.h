/* A provider's data file, policy/provider/NAME.yaml. Supervisor only. */
#pragma once

#include "config/config.h"

/* -EINVAL with a sentence; -ENOENT: there is no such provider, and the sentence lists those that there are.
 */
int provider_load(const char *policy_dir, const char *name, Provider **ret_provider, Fault *fault) MUST_USE;
/* Whether a folder has one of this name: own ones, in policy/provider/ beside purser.yaml, come first. */
bool provider_is_in(const char *policy_dir, const char *name);
/* The name of the provider whose own API this is, to be freed; NULL when there is none. */
char *provider_of_api(const char *policy_dir, const Origin *api);

Provider *provider_free(Provider *provider); /* takes NULL, returns NULL */
DEFINE_CLEANUP(Provider *, provider_free)
#define CLEANUP_PROVIDER CLEANUP(provider_free_p)
