/* Private to sandbox/: giving up privileges and limiting resources. */
#pragma once

#include "sandbox/sandbox.h"

int drop_capabilities(SandboxRole role) MUST_USE; /* all sets, for good; but those that sandbox.h says */

/* Process, descriptor and (in plain builds) address space limits of a role. */
int drop_limits(SandboxRole role) MUST_USE;
