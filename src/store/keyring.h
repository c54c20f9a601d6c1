/* The keyring: one sealed file of named tokens, for a single machine.
 *
 * File (keyring-format.h): magic "purser-keyring-1\n", key source (passphrase: Argon2id salt and cost; key
 * file: none), and one crypto_secretstream_xchacha20poly1305 of the entries, so that a cut, a flipped bit and
 * a swapped entry are seen. Mode 0600, owned by the user or by root; refused when others can read it. Written
 * to NAME.new, fsync, rename, fsync of the folder; an flock on NAME.lock keeps a second writer out (it waits
 * two seconds). The key: 32 bytes in a key file (mode 0600 too), or $CREDENTIALS_DIRECTORY/purser-keyring-key
 * (0400, or systemd's 0440 with an access list), or a passphrase. Reading needs 36 KiB of the arena; with a
 * passphrase also 256 MiB of memory for most of a second.
 */
#pragma once

#include "store/store.h"

#define KEYRING_MAX_FILE    (4u << 20)
#define KEYRING_MAX_ENTRIES 256
#define KEYRING_KEY_BYTES   32

typedef struct KeyringEntry {
    char *name;
    Sealed *token;
    char **host;
    size_t n_host;
    int64_t set; /* wall, us */
} KeyringEntry;

typedef struct Keyring {
    KeyringEntry *entry; /* sorted by name */
    size_t n_entry;
} Keyring;

/* How the key is told: by the bytes that a descriptor yields (a key file's 32 bytes, or a passphrase's text).
 */
typedef struct KeyringKey {
    bool passphrase;
    int fd; /* read to its end; not closed */
} KeyringKey;

/* Whether the file at `fd` is sealed with a passphrase. STORE_E_DAMAGED with a sentence. */
int keyring_peek(int fd, bool *ret_passphrase, Fault *fault) MUST_USE;

/* STORE_E_DENIED: wrong key or passphrase, or readable by others; STORE_E_DAMAGED. The sentence names `path`.
 */
int keyring_read(const char *path, int fd, const KeyringKey *key, Keyring **ret_keyring,
                 Fault *fault) MUST_USE;

/* Locks (-EBUSY with a sentence that says who holds it), reads the file if it exists (else an empty keyring),
 * calls change(), and writes when it returns 0; any other value is passed on and the old file stays as it is.
 */
typedef int KeyringChange(Keyring *keyring, void *context, Fault *fault);
int keyring_update(const char *path, const KeyringKey *key, KeyringChange *change, void *context,
                   Fault *fault) MUST_USE;

/* Another key: everything is sealed anew. `fresh` yields a passphrase; NULL: a new key file takes the place
 * of `key_file`, from which `old` was opened. Whoever is killed when, the keyring opens with `key_file`, or
 * with KEY_FILE.new beside it, which keyring_mend_key() then puts there. */
int keyring_rekey(const char *path, const KeyringKey *old, const KeyringKey *fresh, const char *key_file,
                  Fault *fault) MUST_USE;

/* What a rekey that was killed left: KEY_FILE.new takes the place of KEY_FILE if the keyring opens with it,
 * else it goes. Waits for one that is under way. Nothing where there is no such file. */
int keyring_mend_key(const char *path, const char *key_file, Fault *fault) MUST_USE;

KeyringEntry *keyring_find(const Keyring *keyring, const char *name); /* or NULL */
void keyring_put(Keyring *keyring, KeyringEntry entry); /* takes over; replaces one of that name */
bool keyring_remove(Keyring *keyring, const char *name);
Keyring *keyring_free(Keyring *keyring);

/* The name of the entry that a revocation of `name` leaves; the caller frees. */
char *keyring_mark_name(const char *name);
bool keyring_is_mark(const char *name); /* such a name */

/* A token of it, for a StoreResult: STORE_E_ABSENT, STORE_E_REVOKED with a sentence. */
int keyring_take(const Keyring *keyring, const char *name, StoredToken *ret_token, Fault *fault) MUST_USE;
