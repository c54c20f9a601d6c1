/* Private to sandbox/: what the place where purser runs adds to the walls, or takes from them. */
#pragma once

#include "sandbox/sandbox.h"

void report_place(SandboxReport *report);

/* A step of a probe: what roles and scripts are where root starts them, without its capabilities. */
int become_somebody(const void *context);

/* The first line of a small file of the kernel's; "" when there is none. */
void kernel_text(const char *path, char *out, size_t size);
