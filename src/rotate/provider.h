/* Calls to a source's own API with one of its tokens: does it work, whose is it; retire it. Each waits for
 * its answer, ten seconds at most. Verified TLS, the source's hosts and address rules, its answers bounded
 * (store/client.h). Runs in purser-rotate.
 */
#pragma once

#include "ipc/rotate.h"
#include "rotate/account.h"
#include "rotate/plan.h"
#include "secret/secret.h"

typedef struct ProviderLink ProviderLink;

/* setup is borrowed. -ENOTSUP with a sentence: the source has no call that tells whether a token works. */
int provider_open(const RotateSetup *setup, ProviderLink **ret_link, Fault *fault) MUST_USE;
ProviderLink *provider_close(ProviderLink *link); /* takes NULL, returns NULL */

/* 0 and works or dead, with what is told of one that works; STORE_E_ with a sentence: it cannot be told now.
 */
int provider_probe(ProviderLink *link, const Sealed *token, RotateLife *ret_life, Account *ret_account,
                   Fault *fault) MUST_USE;

/* Whether it makes new ones beside the old (AppRole), and one of them. */
bool provider_makes(const ProviderLink *link);
int provider_make(ProviderLink *link, Sealed **ret_token, Fault *fault) MUST_USE;
/* For --dry-run, once the current one was tried: whether the rights for all of that are there. */
int provider_may(ProviderLink *link, Fault *fault) MUST_USE;

bool provider_can_retire(const ProviderLink *link);
/* Tells the provider; whatever it says, only a probe tells what came of it. STORE_E_ with a sentence when it
 * did not say that it has. */
int provider_retire(ProviderLink *link, const Sealed *token, Fault *fault) MUST_USE;

/* Has the provider make a new token of this one, which may die with that: sent once. `life`: us, how long the
 * new one is to live; 0: as the provider has it. 0 and the new token; or STORE_E_ with a sentence, and
 * *ret_under_way whether it may have been done, or may still be (no answer, an error of the server, an answer
 * that holds none). */
int provider_renew(ProviderLink *link, const Sealed *token, uint64_t life, Sealed **ret_token,
                   bool *ret_under_way, Fault *fault) MUST_USE;

/* Whether it is what this source needs: of a GitHub App a private key that can sign. Asks nobody. */
int provider_check(const ProviderLink *link, const Sealed *token, Fault *fault) MUST_USE;
/* The last proof of a new one that works. Of a GitHub App's key: it mints a token, which is given back at
 * once. */
int provider_prove(ProviderLink *link, const Sealed *token, Fault *fault) MUST_USE;
/* By what a person finds it at the provider: " (SHA256:...)", the public half of a key as GitHub shows it;
 * else "". */
#define PROVIDER_NAME 80
void provider_name(const ProviderLink *link, const Sealed *token, char out[static PROVIDER_NAME]);
