/* Tokens at rest in memory, sealed; opened only into bytes that are wiped at once.
 *
 * One arena of locked, undumpable memory per process (memfd_secret where the kernel has it; else mmap, mlock,
 * MADV_DONTDUMP, MADV_DONTFORK; each verified, VmLck included). In it: the sealing key (made at start, never
 * leaves), lease keys, and scratch room for what is opened. Sealed bytes (crypto_secretbox) lie in ordinary
 * memory. Single-threaded.
 */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

/* Tokens have any length up to what the head of an HTTP request can carry: servers stop reading at 8 to 32
 * KiB. */
#define SECRET_MAX_TOKEN (16u << 10)

/* A shorter one cannot be searched for in answers: it could be guessed, or is part of any text. */
#define SECRET_MIN_TOKEN 8u

typedef struct SecretProtection {
    bool memfd_secret; /* else mmap + mlock */
    bool locked;       /* verified: not swappable */
    bool not_dumped;   /* MADV_DONTDUMP or memfd_secret */
} SecretProtection;

/* Once, before the sandbox. -ENOMEM or -EPERM with a sentence when memory cannot be locked. The arena counts
 * against RLIMIT_MEMLOCK; 256 KiB hold the scratch of the longest token several times. A forked child does
 * not have it. */
int secret_init(size_t arena_bytes, Fault *fault) MUST_USE;
void secret_done(void); /* wipes the arena */
SecretProtection secret_protection(void);

/* Room in the arena: zeroed, aligned to 64; NULL when it is used up. secret_release wipes; `len` as it was
 * asked for; takes NULL. */
void *secret_alloc(size_t len);
void secret_release(void *p, size_t len);

typedef struct Sealed Sealed; /* length, nonce, box */

/* Seals a copy; the caller wipes its own. Fails only past SECRET_MAX_TOKEN (-E2BIG). */
int secret_seal(Slice plain, Sealed **ret_sealed) MUST_USE;
size_t secret_len(const Sealed *sealed); /* of the plain bytes */
/* Opens into `out` (room >= secret_len), which the caller wipes; -EBADMSG if the box was altered. */
int secret_open(const Sealed *sealed, char *out, size_t room) MUST_USE;
Sealed *secret_dup(const Sealed *sealed); /* without opening it */
Sealed *secret_free(Sealed *sealed);      /* takes NULL, returns NULL */

/* Compares in constant time; different lengths are unequal at once. */
bool secret_equal(Slice a, Slice b);
/* Of two that are sealed; NULL, and what cannot be opened, is like nothing. */
bool secret_same(const Sealed *a, const Sealed *b);

/* Overwrites what the last calls left in vector registers and below the stack pointer. Called after the last
 * use of opened bytes in a turn of the loop, by the function that is still running then: it cannot reach the
 * variables of its callers. 0.3 us. */
void secret_wipe_traces(void);
