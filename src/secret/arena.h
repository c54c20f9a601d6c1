/* The mapping that secret.c hands out in pieces: locked, undumpable, unforked, between two guard pages. */
#pragma once

#include "secret/secret.h"

typedef struct Arena {
    void *data;
    size_t len; /* whole pages */
    SecretProtection protection;
} Arena;

/* memfd_secret, or locked anonymous memory where the kernel has none (or `anonymous`, for tests). */
int arena_map(size_t len, bool anonymous, Arena *ret_arena, Fault *fault) MUST_USE;
void arena_unmap(Arena *arena); /* wipes */
