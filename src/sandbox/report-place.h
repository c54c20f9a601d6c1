/* Private to sandbox/: what the place where purser runs adds to the walls, or takes from them. */
#pragma once

#include "sandbox/sandbox.h"

void report_place(SandboxReport *report);

/* The first line of a small file of the kernel's; "" when there is none. */
void kernel_text(const char *path, char *out, size_t size);
