/* The clerk's sandbox: only its database, wherever that is. */
#pragma once

#include "base/fault.h"
#include "ipc/clerk.h"

/* After SETUP and before the first foreign byte. Like sandbox_enter(); a SANDBOX_E_PARTIAL was logged and is
 * 0. */
int walls_enter(const ClerkSetup *setup, Fault *fault) MUST_USE;
