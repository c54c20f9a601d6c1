/* A network namespace of a run's own: nothing in it but loopback, and on loopback nothing but the run's gate.
 * What a script cannot reach it cannot talk to, whatever it does with its variables. Root only. */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

/* A TCP listener on 127.0.0.1 (any free port). isolated: in a new namespace, *ret_ns_fd names it; else
 * *ret_ns_fd is -1. -EPERM and the like when namespaces are not to be had here: the caller goes on without,
 * and says so. */
int netns_listen(bool isolated, int *ret_listener, uint16_t *ret_port, int *ret_ns_fd, Fault *fault) MUST_USE;
