/* Handing over to purser-rotate, which `purser rotate` and `purser revoke` become. */
#pragma once

#include "ipc/rotate.h"
#include "purser/session.h"

/* file: of --file, or NULL. `setup` holds what the command line said; the rest is filled in from the
 * configuration. Returns only when it could not: an exit status, after saying why. */
int rotate_hand_over(const char *file, const char *source, const KubernetesLogin *login, RotateSetup *setup);
