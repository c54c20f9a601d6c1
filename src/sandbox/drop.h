/* Private to sandbox/: giving up privileges and limiting resources. */
#pragma once

#include "sandbox/sandbox.h"

int drop_capabilities(void) MUST_USE; /* all sets, for good */

/* Process, descriptor and (in plain builds) address space limits of a role. */
int drop_limits(SandboxRole role) MUST_USE;
