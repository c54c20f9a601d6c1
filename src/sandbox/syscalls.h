/* Private to sandbox/: the system call lists. syscalls-none.c stands in its place in sanitized builds. */
#pragma once

#include "sandbox/sandbox.h"

/* -errno; then nothing was changed. */
int seccomp_enter(const SandboxSpec *spec) MUST_USE;
extern const bool seccomp_built; /* false: left out of this build */
