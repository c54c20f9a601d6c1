/* The run's own certificate authority, made in memory when the gate starts.
 *
 * Critical name constraints: exactly the hosts that the run may reach (and, as X.509 has it, their
 * subdomains); the name type that no host has is closed whole. pathlen 0. Every leaf is made at once, after
 * which the CA's key is gone: nothing can sign another one. Leaves have no CN (git would look at it), a SAN,
 * and one key for all.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "gate/hosts.h"

#include <openssl/ssl.h>

#define RUN_CA_MAX_PEM 16384

typedef struct RunCa {
    X509 *certificate;
    X509 **leaf; /* one per host of the list, NULL where it speaks no TLS */
    size_t n_leaf;
    EVP_PKEY *leaf_key;
} RunCa;

/* Makes the keys that run_ca_make() then takes, while the hosts are not known yet: most of its time. */
void run_ca_keys_ahead(void);

/* Makes CA and leaves, valid from five minutes ago until `lifetime_us` from now. `ret_ca_key`: the CA's key
 * for a test; NULL frees it here. */
int run_ca_make(const HostList *hosts, const char *run, int64_t lifetime_us, RunCa *ret_ca,
                EVP_PKEY **ret_ca_key, Fault *fault) MUST_USE;

/* Gives each TLS host of the list its context: TLS 1.2 and later, ALPN http/1.1, tickets. SNI is the name
 * that the connection has as its app data (promise 6). */
int run_ca_contexts(const RunCa *ca, HostList *hosts, Fault *fault) MUST_USE;

int run_ca_pem(const RunCa *ca, Buf *ret_pem) MUST_USE;
void run_ca_done(RunCa *ca);

/* Signs a certificate for `name` as run_ca_make does for its hosts, whatever the constraints say: for tests.
 */
X509 *run_ca_leaf(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *leaf_key, const char *name, bool address);
