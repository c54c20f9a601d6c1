/* The bytes of a keyring file, without the file: also what the fuzzer opens.
 *
 *   "purser-keyring-1\n"
 *   'K' (a key file) or 'P' (a passphrase: Argon2id's u64 operations, u64 bytes of memory, 16 bytes of salt)
 *   a secretstream's header, 24 bytes
 *   messages: u32 length, sealed bytes; the first says how many entries follow (associated data: all of the
 * above), then an entry each; the last is tagged final BLAKE2b-256 of everything before it
 *
 * The last hash is not a secret's: it tells damage by accident (STORE_E_DAMAGED) from a wrong key
 * (STORE_E_DENIED). What is altered on purpose, with the hash made anew, does not open. Integers are in host
 * order: the file is for a single machine.
 */
#pragma once

#include "base/buf.h"
#include "store/keyring.h"

#include <sodium.h>

#define KEYRING_MAX_PASSPHRASE 1024

typedef struct KeyringLock {
    bool passphrase;
    uint64_t operations, memory; /* what Argon2id costs; 0 with a key file */
    unsigned char salt[crypto_pwhash_SALTBYTES];
    unsigned char *key; /* KEYRING_KEY_BYTES in the arena; NULL until keyring_lock_derive() */
} KeyringLock;

void keyring_lock_new(KeyringLock *ret_lock, bool passphrase); /* for a new file: fresh salt, today's cost */
void keyring_lock_done(KeyringLock *lock);                     /* wipes the key */

/* From what the person or the key file says; -ENOMEM, STORE_E_DENIED (a key file that is not 32 bytes). */
int keyring_lock_derive(KeyringLock *lock, Slice said, Fault *fault) MUST_USE;

/* keyring_read(), and what opened the file is the caller's, to end with keyring_lock_done(). */
int keyring_read_lock(const char *path, int fd, const KeyringKey *key, KeyringLock *ret_lock,
                      Keyring **ret_keyring, Fault *fault) MUST_USE;
/* The file again, changed maybe, by the key that it was opened with. STORE_E_DENIED: it has another one now.
 */
int keyring_read_again(const char *path, int fd, const KeyringLock *lock, Keyring **ret_keyring,
                       Fault *fault) MUST_USE;

/* Checks the hash and reads the head; STORE_E_DAMAGED. */
int keyring_format_head(const char *path, Slice file, KeyringLock *ret_lock, Fault *fault) MUST_USE;

/* With a derived lock. STORE_E_DENIED: the key does not fit; STORE_E_DAMAGED. */
int keyring_format_open(const char *path, Slice file, const KeyringLock *lock, Keyring **ret_keyring,
                        Fault *fault) MUST_USE;

/* -E2BIG past the maxima of keyring.h. */
int keyring_format_seal(const Keyring *keyring, const KeyringLock *lock, Buf *out, Fault *fault) MUST_USE;
