/* What Vault's and OpenBao's answers say to a rotation, taken out of their JSON. Pure: no network, no clock;
 * everything here is a stranger's, bounded and checked. What a text of theirs becomes printable here.
 * Borrowed values live as long as the JSON does.
 */
#pragma once

#include "store/answer.h"

/* A secret's values and, in KV 2, its version (0: there is none) and when that was made (wall us; 0: not
 * told). */
typedef struct VaultSecret {
    const json_t *data; /* borrowed; NULL: it is not there, or that version was deleted */
    uint64_t version;
    int64_t made;
} VaultSecret;

void vault_read_secret(const json_t *json, bool kv1, VaultSecret *ret_secret);
uint64_t vault_read_version(const json_t *json); /* that a write has made */

/* A text of a secret, sealed. *ret_token NULL: there is none. */
int vault_seal(const json_t *data, const char *key, Sealed **ret_token, Fault *fault) MUST_USE;
int vault_put(json_t *data, const char *key, const Sealed *token) MUST_USE; /* NULL: nothing. -errno */

/* The lock, as it lies in the values of a secret, and what is staged with it. */
typedef struct VaultLock {
    char holder[256]; /* printable; "": nobody */
    int64_t since, beat;
    uint64_t first; /* KV 2: the first version that holds tokens; 0: none does */
    char *story;    /* NULL: none */
    Sealed *staged[2];
} VaultLock;

/* kv1: what is staged lies in another secret: vault_read_staged(). Nothing is left in *lock when it fails. */
int vault_read_lock(const json_t *data, bool kv1, VaultLock *ret_lock, Fault *fault) MUST_USE;
int vault_read_staged(const json_t *data, VaultLock *lock, Fault *fault) MUST_USE;
void vault_lock_done(VaultLock *lock);

/* Of sys/internal/ui/mounts/PATH: STORE_E_DENIED with a sentence where that is no KV 1. */
int vault_read_mount(const json_t *json, const char *path, Fault *fault) MUST_USE;

typedef struct VaultRight {
    const char *capability, *path;
} VaultRight;
/* Of sys/capabilities-self: each of these that is not there, in one sentence: STORE_E_DENIED. */
int vault_read_rights(const json_t *json, const VaultRight *right, size_t n, Fault *fault) MUST_USE;

/* Of a login by AppRole: the token, and the role's name (printable; "": not told). */
int vault_read_login(const json_t *json, Sealed **ret_token, char role[static 256], Fault *fault) MUST_USE;

/* Of a login by a JWT: the token, and its life (us; 0: it has no end). */
int vault_read_grant(const json_t *json, Sealed **ret_token, int64_t *ret_life, Fault *fault) MUST_USE;

/* Of the database engine's role: the name of its connection, which goes into a path; borrowed; NULL: none
 * that can. */
const char *vault_read_connection(const json_t *json);
typedef struct VaultCredential {
    Sealed *password;
    char lease[512]; /* to be given back; "": none */
    int64_t rotated; /* wall us; 0: not told */
} VaultCredential;
int vault_read_credential(const json_t *json, VaultCredential *ret_credential, Fault *fault) MUST_USE;
